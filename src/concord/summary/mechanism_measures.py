"""What a reader needs to know of the measures of the mechanism."""

from dataclasses import replace

from concord.summary.measure import NEUTRAL, Measure

_RATE = Measure(
    "Attributes rate",
    "Share of the best words read out at the last subject token that stand in texts "
    "about the subject; mean over the upper half of the layers.",
    "|top k of W h and A_s| / k, mean over the layers from L / 2 to L",
    better=None,
    words=NEUTRAL,
)
_EVENT = Measure(
    "Extraction",
    "Share of prompts for which at least one update at the last position has the "
    "model's own top token on top.",
    "prompts with an event in any layer / prompts",
    better=None,
    words=NEUTRAL,
)
_EFFECT = Measure(
    "Knockout",
    "Relative change of the probability of the model's top token when the last "
    "position may not attend to some positions; mean over the layers.",
    "(p after the cut - p before) / p before",
    lowest=-1.0,
    highest=None,
    better=None,
    words=NEUTRAL,
)
_COSINE = Measure(
    "Cosine",
    "Cosine of the last tokens' states of two prompts.",
    "mean cosine of the pairs of a relation, mean over relations",
    unit="cosine",
    lowest=-1.0,
    better=None,
    words=NEUTRAL,
)

MECHANISM_MEASURES: dict[str, Measure] = {
    "enrichment.attributes_rate": _RATE,
    "enrichment.attributes_rate_shuffled": replace(
        _RATE,
        title="Attributes rate, another subject's words",
        meaning="The same with the attributes of another subject of the relation: what "
        "frequent words alone give.",
    ),
    "enrichment.attributes_rate_gain": replace(
        _RATE,
        title="Attributes rate above another subject's",
        meaning="The attributes rate less the rate with another subject's attributes.",
        lowest=-1.0,
    ),
    "enrichment.attributes_rate_object_free": replace(
        _RATE,
        title="Attributes rate without the objects",
        meaning="The same without the words of the subject's own objects.",
    ),
    "enrichment.attributes_rate_of_subjects": replace(
        _RATE,
        title="Attributes rate, mean over subjects",
        meaning="The attributes rate with every subject counted once, whatever its "
        "facts; the headline counts every relation alike.",
        formula="|top k of W h and A_s| / k, mean over a subject's prompts, then over "
        "subjects",
    ),
    "enrichment.attributes_rate_gain_of_subjects": replace(
        _RATE,
        title="Attributes rate above another subject's, mean over subjects",
        meaning="The attributes rate less the rate with another subject's attributes, "
        "with every subject counted once.",
        formula="difference of the two rates, mean over a subject's prompts, then over "
        "subjects",
        lowest=-1.0,
    ),
    "enrichment.fact_object_rate": replace(
        _RATE,
        title="Fact-object rate",
        meaning="Share of the best words at the last subject token that belong to "
        "objects of the subject's own facts; small, for these are few words.",
    ),
    "enrichment.fact_object_recall": replace(
        _RATE,
        title="Fact-object recall",
        meaning="Share of the words of the subject's own objects that are among the "
        "best words at its last token.",
        formula="|top k of W h and O_s| / min(k, |O_s|)",
    ),
    "enrichment.fact_object_recall_shuffled": replace(
        _RATE,
        title="Fact-object recall, another subject's objects",
        meaning="The same with the objects of another subject of the relation.",
        formula="|top k of W h and O_s'| / min(k, |O_s'|)",
    ),
    "extraction.mhsa": replace(_EVENT, title="Extraction by attention"),
    "extraction.mlp": replace(_EVENT, title="Extraction by the MLP"),
    "extraction.any": replace(_EVENT, title="Extraction by either"),
    "extraction.mhsa_macro": replace(
        _EVENT,
        title="Extraction by attention, mean over relations",
        formula="prompts with an event / prompts of a fact, mean over facts of a "
        "relation, then over relations",
    ),
    "extraction.mlp_macro": replace(
        _EVENT,
        title="Extraction by the MLP, mean over relations",
        formula="prompts with an event / prompts of a fact, mean over facts of a "
        "relation, then over relations",
    ),
    "extraction.any_macro": replace(
        _EVENT,
        title="Extraction by either, mean over relations",
        formula="prompts with an event / prompts of a fact, mean over facts of a "
        "relation, then over relations",
    ),
    "extraction.mhsa_prediction": replace(
        _EVENT, title="Extraction of the best candidate by attention"
    ),
    "extraction.mlp_prediction": replace(
        _EVENT, title="Extraction of the best candidate by the MLP"
    ),
    "extraction.mhsa_object": replace(
        _EVENT,
        title="Extraction of the object by attention",
        meaning="Share of prompts for which at least one update of attention has the "
        "first token of the right object on top.",
    ),
    "extraction.mlp_object": replace(
        _EVENT,
        title="Extraction of the object by the MLP",
        meaning="Share of prompts for which at least one update of the MLP has the "
        "first token of the right object on top.",
    ),
    "extraction.mhsa_coinciding": replace(
        _EVENT,
        title="Extraction by attention where top token and candidate coincide",
        meaning="The same over the prompts whose top token begins the best candidate.",
        formula="prompts with an event / prompts whose top token begins the best "
        "candidate",
    ),
    "extraction.mlp_coinciding": replace(
        _EVENT,
        title="Extraction by the MLP where top token and candidate coincide",
        meaning="The same over the prompts whose top token begins the best candidate.",
        formula="prompts with an event / prompts whose top token begins the best "
        "candidate",
    ),
    "extraction.first_layer": replace(
        _EVENT,
        title="First layer with an event",
        meaning="First layer in which an update has the model's own top token on top, "
        "over the prompts that have one.",
        formula="mean first layer with an event, layers counted from 0",
        unit="layers",
        highest=None,
    ),
    "extraction.event_layers": replace(
        _EVENT,
        title="Layers with an event",
        meaning="Number of layers in which an update has the model's own top token on "
        "top, over the prompts that have one.",
        formula="mean number of layers with an event",
        unit="layers",
        lowest=1.0,
        highest=None,
    ),
    "extraction.mhsa_first": replace(
        _EVENT,
        title="Attention extracts first",
        meaning="Share of the prompts with an event whose first one is attention's; "
        "within a layer attention writes before the MLP.",
        formula="prompts whose first event is attention's / prompts with an event",
    ),
    "extraction.free_is_prediction": replace(
        _EVENT,
        title="Top token is the best candidate's",
        meaning="Share of prompts whose top token begins the best candidate.",
        formula="prompts with one token for both / prompts",
    ),
    "knockout.*_changed": replace(
        _EFFECT,
        title="Knockout, top token changed",
        meaning="Share of prompts whose top token changes under a cut.",
        formula="prompts with another top token / prompts, mean over the layers",
        lowest=0.0,
        highest=1.0,
    ),
    "knockout.subject": replace(_EFFECT, title="Knockout of the subject"),
    "knockout.non_subject": replace(_EFFECT, title="Knockout of all but the subject"),
    "knockout.last": replace(_EFFECT, title="Knockout of the last position"),
    "knockout.template": replace(_EFFECT, title="Knockout of the template"),
    "knockout.context": replace(_EFFECT, title="Knockout of the context"),
    "knockout.bos": replace(_EFFECT, title="Knockout of the first token"),
    "relations.same": replace(_COSINE, title="Same relation"),
    "relations.different": replace(_COSINE, title="Different relations"),
    "relations.contrast": replace(
        _COSINE,
        title="Same less different relation",
        meaning="How much more alike prompts of one relation are than prompts of two; "
        "last tokens differ in every pair.",
        formula="mean cosine in one relation - mean cosine across relations",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.same_any": replace(
        _COSINE,
        title="Same relation, any last token",
        meaning="The same, with equal last tokens among the pairs, which alone make "
        "states alike.",
    ),
    "relations.different_any": replace(
        _COSINE, title="Different relations, any last token"
    ),
    "relations.contrast_any": replace(
        _COSINE,
        title="Same less different relation, any last token",
        meaning="How much more alike prompts of one relation are than prompts of two; "
        "last tokens may be equal.",
        formula="mean cosine in one relation - mean cosine across relations",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.gap_both_*": replace(
        _COSINE,
        title="Gap of pairs alike in base and tuned",
        meaning="Gap over the pairs of templates whose predictions agree in both base "
        "and tuned (or disagree in both), of the tuned model or of the base.",
        formula="mean cosine of these pairs - cosine across facts of that model",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.change_both_*": replace(
        _COSINE,
        title="Change of the gap on the same pairs",
        meaning="Tuned less base over the pairs of templates whose predictions agree "
        "in both (or disagree in both), so that both are over the same pairs.",
        formula="gap of the tuned model - gap of the base, over the same pairs",
        lowest=-4.0,
        highest=4.0,
    ),
    "relations.gap_agreeing": replace(
        _COSINE,
        title="Gap of agreeing pairs",
        meaning="Gap over a fact's pairs of templates with equal predictions.",
        formula="mean cosine of the fact's agreeing pairs - cosine across facts",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.gap_disagreeing": replace(
        _COSINE,
        title="Gap of disagreeing pairs",
        meaning="Gap over a fact's pairs of templates with different predictions.",
        formula="mean cosine of the fact's disagreeing pairs - cosine across facts",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.gap_agreeing_context_*": replace(
        _COSINE,
        title="Gap of agreeing pairs in one context",
        meaning="Gap over a fact's pairs of templates with equal predictions, in the "
        "context of that number alone.",
        formula="mean cosine of the fact's agreeing pairs - cosine across facts",
        lowest=-2.0,
        highest=2.0,
    ),
    "relations.gap_disagreeing_context_*": replace(
        _COSINE,
        title="Gap of disagreeing pairs in one context",
        meaning="Gap over a fact's pairs of templates with different predictions, in "
        "the context of that number alone.",
        formula="mean cosine of the fact's disagreeing pairs - cosine across facts",
        lowest=-2.0,
        highest=2.0,
    ),
}

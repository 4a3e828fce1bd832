"""Every key of ``summary.json``: what it means, how it is computed, what is better.

A key ends in ``@same`` or ``@chat`` when the tuned models were asked in the base's
contexts or in their chat template; ``@prompt`` is the part of a difference that is due
to the prompt: the tuned model in its own contexts minus itself in the base's.
"""

from dataclasses import replace
from fnmatch import fnmatchcase

from concord.errors import ResultsError, did_you_mean
from concord.summary.answer_measures import ANSWER_MEASURES
from concord.summary.choice_measures import CHOICE_MEASURES
from concord.summary.finetuned_measures import FINETUNED_MEASURES
from concord.summary.measure import ACCURATE, NEUTRAL, Measure
from concord.summary.mechanism_measures import MECHANISM_MEASURES
from concord.summary.truth_measures import TRUTH_MEASURES

_GAP = Measure(
    "Gap",
    "How much closer paraphrases are than other sentences, at the final state of the "
    "last token.",
    "mean cosine of paraphrases - mean cosine of non-paraphrases",
    unit="cosine",
    lowest=-2.0,
    highest=2.0,
    words=("larger gap", "smaller gap"),
)
_AGREEMENT = Measure(
    "Agreement",
    "Share of pairs of templates that give the same answer for a fact, right or wrong.",
    "sum_v n_v (n_v - 1) / (T (T - 1))",
)
_ACCURACY = Measure(
    "Accuracy",
    "Share of a fact's templates that are answered with a right object.",
    "right templates / templates",
    words=ACCURATE,
)

MEASURES: dict[str, Measure] = {
    "facts.agreement": replace(_AGREEMENT, headline=True, by_relation=True),
    "facts.accuracy": replace(_ACCURACY, headline=True, by_relation=True),
    "facts.chance_corrected_agreement": Measure(
        "Chance-corrected agreement",
        "Agreement beyond what the frequencies of the model's answers give by chance; "
        "0 when it answers everything alike at random.",
        "(A - A_e) / (1 - A_e), A_e between different facts of the relation",
        lowest=None,
        by_relation=True,
    ),
    "facts.consistent_and_correct": Measure(
        "Consistent and correct",
        "Share of facts that are answered rightly under every template.",
        "facts with all templates right / facts",
        by_relation=True,
    ),
    "facts.context_agreement": Measure(
        "Agreement over contexts",
        "Share of pairs of contexts in which a template is answered the same.",
        "agreement with contexts in the place of templates, mean over templates",
    ),
    "facts.top_answer_share": Measure(
        "Share of the most common answer",
        "How often the answer given most often in a relation is given; near 1 the "
        "model has collapsed onto one answer.",
        "max_o p(o) over the answers of a relation",
        better=None,
        words=NEUTRAL,
        by_relation=True,
    ),
    "facts.answer_entropy": Measure(
        "Entropy of answers",
        "How evenly the answers of a relation are spread over its candidates; 0 means "
        "one answer to everything.",
        "-sum_o p(o) log p(o) / log(candidates)",
        better=None,
        words=NEUTRAL,
    ),
    "facts.agreement_nontrivial": replace(
        _AGREEMENT,
        title="Agreement, object not in the subject",
        meaning="Agreement over facts whose object cannot be copied from the subject.",
    ),
    "facts.accuracy_nontrivial": replace(
        _ACCURACY,
        title="Accuracy, object not in the subject",
        meaning="Accuracy over facts whose object cannot be copied from the subject.",
    ),
    "facts.free_agreement": replace(
        _AGREEMENT,
        title="Agreement of the free prediction",
        meaning="Agreement of the most likely token of the whole vocabulary instead of "
        "the best candidate.",
    ),
    "facts.agreement_without_near_ties": replace(
        _AGREEMENT,
        title="Agreement without near ties",
        meaning="Agreement over prompts whose best two candidates differ by more than "
        "the measured noise can move them.",
    ),
    "facts.known_both": replace(
        _AGREEMENT,
        title="Agreement, known to both",
        meaning="Agreement over facts that base and tuned both answer rightly in half "
        "or more of their prompts.",
    ),
    "facts.known_one": replace(
        _AGREEMENT,
        title="Agreement, known to one",
        meaning="Agreement over facts that only one of base and tuned knows.",
    ),
    "facts.known_neither": replace(
        _AGREEMENT,
        title="Agreement, known to neither",
        meaning="Agreement over facts that neither base nor tuned knows.",
    ),
    "pararel.consistency": replace(
        _AGREEMENT,
        title="ParaRel consistency",
        meaning="Equal pairs of templates over all facts of a relation together.",
        formula="equal pairs / pairs, pooled in the relation",
    ),
    "pararel.lama_accuracy": replace(
        _ACCURACY,
        title="LAMA accuracy",
        meaning="Accuracy of the first template of a relation alone.",
        formula="facts right under template 0 / facts",
    ),
    "pararel.consistent_accuracy": Measure(
        "ParaRel consistent accuracy",
        "Share of facts for which all templates are right.",
        "facts with all templates right / facts",
    ),
    "pararel.group_unacc": Measure(
        "Consistent but wrong",
        "Share of facts for which all templates agree on one wrong object.",
        "facts with one and the same wrong object / facts",
        better="lower",
        words=("more often consistently wrong", "less often consistently wrong"),
    ),
    "pararel.consistent_subjects": Measure(
        "Consistent subjects",
        "Share of facts for which all templates agree.",
        "facts with all templates equal / facts",
    ),
    "pararel.successful_subjects": Measure(
        "Successful subjects",
        "Share of facts that at least one template answers rightly.",
        "facts with a right template / facts",
        words=ACCURATE,
    ),
    "pararel.successful_patterns": Measure(
        "Successful templates",
        "Share of templates that are right for at least one fact.",
        "templates with a right fact / templates",
        words=ACCURATE,
    ),
    "pararel.knowledgable_consistency": replace(
        _AGREEMENT,
        title="Consistency where something is known",
        meaning="Consistency over facts that at least one template answers rightly.",
        formula="equal pairs / pairs, over facts with a right template",
    ),
    "pararel.unknowledgable_consistency": replace(
        _AGREEMENT,
        title="Consistency where nothing is known",
        meaning="Consistency over facts that no template answers rightly.",
        formula="equal pairs / pairs, over facts without a right template",
    ),
    "pararel.avg_entropy": Measure(
        "Entropy of agreement",
        "How undecided it is whether another template agrees; 0 when all or none do.",
        "mean of H2(share of the other templates that agree)",
        unit="bits",
        better="lower",
        words=("less consistent", "more consistent"),
    ),
    "pararel.edge_out": replace(
        _AGREEMENT,
        title="Weighted edge consistency",
        meaning="Consistency of ordered template pairs, weighted by how consistent the "
        "first one is with all others.",
        formula="sum o_i c_ij / sum o_i",
    ),
    "pararel.same_*_agreement": replace(
        _AGREEMENT,
        title="Agreement, same form",
        meaning="Consistency over pairs of templates with the same lemma, or tense.",
        formula="equal pairs / pairs of the same form",
    ),
    "pararel.other_*_agreement": replace(
        _AGREEMENT,
        title="Agreement, other form",
        meaning="Consistency over pairs of templates that differ in lemma, or tense.",
        formula="equal pairs / pairs of different form",
    ),
    "mpararel.accuracy": replace(_ACCURACY, title="mParaRel accuracy"),
    "mpararel.consistency": replace(_AGREEMENT, title="mParaRel consistency"),
    "mpararel.accuracy_consistency": Measure(
        "mParaRel accuracy-consistency",
        "Share of template pairs that agree and are right.",
        "pairs equal and right / pairs",
    ),
    "representation.*.gap": replace(_GAP, headline=True, by_relation=True),
    "representation.*.auc": Measure(
        "AUC",
        "Chance that a paraphrase pair is closer than a non-paraphrase pair; does not "
        "depend on the scale of cosines.",
        "P(cos of paraphrases > cos of others) + P(equal) / 2",
    ),
    "representation.*.centred_gap": replace(
        _GAP,
        title="Centred gap",
        meaning="The gap after the mean state is taken away.",
    ),
    "representation.*.centred_auc": Measure(
        "Centred AUC",
        "The AUC after the mean state is taken away.",
        "P(cos of paraphrases > cos of others) + P(equal) / 2, centred states",
    ),
    "representation.*.lexical_gap": replace(
        _GAP,
        title="Lexical gap",
        meaning="The gap that shared last tokens alone would give; needs no model.",
        formula="the gap with the one-hot of the last token in place of its state",
        better=None,
        words=NEUTRAL,
    ),
    "representation.*.gap_same_relation": replace(
        _GAP,
        title="Gap to the same relation",
        meaning="Paraphrases against prompts of one relation about other subjects.",
    ),
    "representation.*.gap_same_subject": replace(
        _GAP,
        title="Gap to the same subject",
        meaning="Paraphrases against prompts of other relations about one subject.",
    ),
    "representation.*.gap_neither": replace(
        _GAP,
        title="Gap to other relation and subject",
        meaning="Paraphrases against prompts that share neither relation nor subject.",
    ),
    "representation.*.gap_other_last": replace(
        _GAP,
        title="Gap, different last tokens",
        meaning="The gap over paraphrase pairs whose last tokens differ.",
    ),
    **CHOICE_MEASURES,
    **FINETUNED_MEASURES,
    **ANSWER_MEASURES,
    **MECHANISM_MEASURES,
    **TRUTH_MEASURES,
}

SUFFIXES: dict[str, str] = {
    "same": "tuned models asked in the base's contexts",
    "chat": "tuned models asked in their chat template",
    "prompt": "part of the difference due to the prompt",
}


def describe(key: str) -> Measure:
    """The entry of a key, its title completed for another set of contexts.

    Raises:
        ResultsError: The key is in no entry; the near match is named.
    """
    name, _, suffix = key.partition("@")
    for pattern, measure in MEASURES.items():
        if fnmatchcase(name, pattern) and (not suffix or suffix in SUFFIXES):
            if not suffix:
                return measure
            title = f"{measure.title} ({SUFFIXES[suffix]})"
            return replace(measure, title=title, headline=False, by_relation=False)
    raise ResultsError(f"measure {key!r}: {did_you_mean(name, MEASURES)}")

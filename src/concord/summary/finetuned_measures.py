"""Every key of fine-tuned classifiers: meaning, formula, and what is better."""

from dataclasses import replace

from concord.summary.choice_measures import CHOICE_MEASURES
from concord.summary.measure import ACCURATE, NEUTRAL, Measure

_ACCURACY = Measure(
    "Fine-tuned accuracy",
    "Share of scored rows that the fine-tuned classifier gives the right class, mean "
    "over seeds.",
    "rows with M(e) = label / rows",
    words=ACCURATE,
)
_SEMANTIC = Measure(
    "Semantic consistency",
    "Share of rows whose class stays when a text is paraphrased, right or wrong.",
    "rows with M(e) = M(e') / rows",
)
_NEGATIONAL = Measure(
    "Negational consistency",
    "Share of rows whose class changes under negation where the right one does, and "
    "stays where that stays (as in WiC).",
    "rows with [M(e) = M(e')] = [label' = label] / rows",
)
_SYMMETRIC = Measure(
    "Symmetric consistency",
    "Share of rows whose class stays when the two texts are exchanged; rows of the "
    "scored split, of which no classifier has seen the other order.",
    "rows with M(a, b) = M(b, a) / rows",
)


def _where_right(measure: Measure) -> Measure:
    return replace(
        measure,
        title=f"{measure.title} where right",
        meaning=f"{measure.meaning} Only over rows whose first answer is right.",
        formula=f"{measure.formula.removesuffix(' / rows')}, over rows with M(e) = "
        "label",
        headline=False,
    )


def _over_tasks(measure: Measure, besides: str = "") -> Measure:
    return replace(
        measure,
        title=f"{measure.title}, mean over tasks{besides}",
        formula=f"{measure.formula}, mean over tasks{besides}",
        headline=not besides,
    )


_PAPER = replace(
    _NEGATIONAL,
    title="Negational consistency, published rule",
    meaning="Share of rows whose class changes under negation, whether or not the "
    "right one does; for WiC 1 - the corrected rule.",
    formula="rows with M(e) != M(e') / rows",
)
_NAMED = {
    "rankc": "Weighted overlap of the rankings of the classes between a row and its "
    "paraphrase.",
    "posix": "How far the log-probability of an answer moves between wordings; a "
    "classifier writes none.",
    "format_spread": "Best minus worst accuracy over formats; a classifier has one.",
    "prompt_sensi_score": "Share of paraphrased rows of which just one wording is "
    "given the right class.",
    "paraphrastic_consistency": "Share of paraphrased rows whose wordings are both "
    "given the right class, or both a wrong one.",
    "consistency_rate": "Share of paraphrased rows whose wordings are given one class; "
    "equals semantic consistency.",
    "xparacon": "How little accuracy over orders of options moves between wordings; a "
    "classifier has no options.",
    "sensitivity": "Entropy of the mean of a row's and its paraphrase's distribution "
    "over the classes; needs no right answers.",
    "class_consistency": "How alike paraphrased rows of one right class are "
    "classified.",
}

FINETUNED_MEASURES: dict[str, Measure] = {
    "finetuned.mean.accuracy": _over_tasks(_ACCURACY),
    "finetuned.mean.semantic": _over_tasks(_SEMANTIC),
    "finetuned.mean.negational": _over_tasks(_NEGATIONAL),
    "finetuned.mean.negational_without_wic": _over_tasks(_NEGATIONAL, " but WiC"),
    "finetuned.mean.negational_paper": replace(_over_tasks(_PAPER), headline=False),
    "finetuned.mean.symmetric": _over_tasks(_SYMMETRIC),
    "finetuned.mean.symmetric_without_rte": _over_tasks(_SYMMETRIC, " but RTE"),
    "finetuned.*.accuracy": _ACCURACY,
    "finetuned.*.semantic": _SEMANTIC,
    "finetuned.*.semantic_conditioned": _where_right(_SEMANTIC),
    "finetuned.*.negational": _NEGATIONAL,
    "finetuned.*.negational_conditioned": _where_right(_NEGATIONAL),
    "finetuned.*.negational_paper": _PAPER,
    "finetuned.*.negational_exact": replace(
        _NEGATIONAL,
        title="Negational consistency, both right",
        meaning="Share of rows that get the right class as they are and negated; of "
        "three classes any change would do by the rule above.",
        formula="rows with M(e) = label and M(e') = label' / rows",
    ),
    "finetuned.*.symmetric": _SYMMETRIC,
    "finetuned.*.symmetric_conditioned": _where_right(_SYMMETRIC),
    "finetuned.*.symmetric_becel": replace(
        _SYMMETRIC,
        title="Symmetric consistency, the set's own rows",
        meaning="Share of rows of the task's own symmetric file whose class stays when "
        "the two texts are exchanged; in BECEL these are training pairs, but for SNLI.",
    ),
    "finetuned.*.top_class_share": Measure(
        "Share of the most common class",
        "How often the classifier gives the class it gives most often; at 1 it is "
        "perfectly consistent and says nothing.",
        "max_class p(class) over scored rows",
        better=None,
        words=NEUTRAL,
    ),
    "finetuned.*.majority_share": Measure(
        "Share of the most common right class",
        "How many scored rows have the right class that most have; a classifier that "
        "always gave it would be as accurate.",
        "max_class rows with label = class / rows",
        better=None,
        words=NEUTRAL,
    ),
    **{
        f"finetuned.*.{name}": replace(
            CHOICE_MEASURES[f"choices.*.{name}"], meaning=meaning
        )
        for name, meaning in _NAMED.items()
    },
}

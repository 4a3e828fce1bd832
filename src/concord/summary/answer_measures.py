"""Keys of written answers, and of other papers' measures over facts and answers."""

from dataclasses import replace

from concord.summary.choice_measures import CHOICE_MEASURES
from concord.summary.measure import ACCURATE, NEUTRAL, Measure

_AGREEMENT = Measure(
    "Answer agreement",
    "Share of pairs of instructions after which the model writes the same answer, "
    "compared in small letters and without punctuation; no answer agrees with nothing.",
    "equal pairs / pairs of instructions, mean over questions",
)
_ACCURACY = Measure(
    "Answer accuracy",
    "Share of instructions after which one of the right answers is written, and "
    "nothing else; mean over questions.",
    "right answers / prompts",
    words=ACCURATE,
)
_NAMED = {
    name.removeprefix("choices.*."): words
    for name, words in CHOICE_MEASURES.items()
    if name.removeprefix("choices.*.")
    in (
        *("rankc", "posix", "format_spread", "prompt_sensi_score", "xparacon"),
        *("paraphrastic_consistency", "consistency_rate", "sensitivity"),
        "class_consistency",
    )
}
_OF_FACTS = {
    "rankc": "Weighted overlap of the rankings of all candidates between two "
    "templates; needs all scores (facts.scoring: full).",
    "posix": "How far the log-probability of a prediction moves between templates; "
    "needs all scores (facts.scoring: full).",
    "format_spread": "Best minus worst accuracy over the contexts.",
    "prompt_sensi_score": "Share of pairs of templates of which just one is right.",
    "paraphrastic_consistency": "Share of pairs of templates that are both right or "
    "both wrong.",
    "consistency_rate": "Share of pairs of templates with the same answer; equals "
    "agreement.",
    "xparacon": "How little accuracy over orders of options moves between wordings; "
    "facts have no options.",
    "sensitivity": "Entropy of a fact's answers over its templates: of the mean "
    "probabilities of all candidates with facts.scoring: full, else of predictions; "
    "needs no right answers.",
    "class_consistency": "How alike facts of a relation with one right object are "
    "answered, by probabilities as in sensitivity.",
}
_OF_ANSWERS = {
    "rankc": "Weighted overlap of rankings; a written answer has none.",
    "posix": "How far the log-probability of an answer moves between instructions; "
    "needs each answer's under every instruction.",
    "format_spread": "Best minus worst accuracy over the instructions.",
    "prompt_sensi_score": "Share of pairs of instructions of which just one is right.",
    "paraphrastic_consistency": "Share of pairs of instructions that are both right or "
    "both wrong.",
    "consistency_rate": "Share of pairs of instructions with the same answer; no "
    "answer agrees with nothing.",
    "xparacon": "How little accuracy over orders of options moves between wordings; "
    "written answers have no options.",
    "sensitivity": "Entropy of the mean distribution over classes; written answers "
    "have none.",
    "class_consistency": "How alike items of one class are answered; written answers "
    "have none.",
}

ANSWER_MEASURES: dict[str, Measure] = {
    "answers.*.accuracy": replace(_ACCURACY, headline=True),
    "answers.*.agreement": replace(_AGREEMENT, headline=True),
    "answers.*.chance_corrected_agreement": replace(
        _AGREEMENT,
        title="Answer agreement, chance-corrected",
        meaning="Agreement beyond what the frequencies of the model's answers give by "
        "chance; 0 when it answers everything alike at random.",
        formula="(A - A_e) / (1 - A_e), A_e between different questions",
        lowest=None,
    ),
    "answers.*.group_agreement": replace(
        _AGREEMENT,
        title="Answer agreement within groups",
        meaning="Share of pairs of questions of one group, wordings of one question "
        "that the task's author wrote, that get the same answer.",
        formula="equal pairs / pairs of a group's questions after one instruction",
    ),
    "answers.*.no_answer": Measure(
        "No answer written",
        "Share of prompts after which nothing stands that can be read as an answer.",
        "prompts without an answer / prompts",
        better="lower",
        words=("answers less often", "answers more often"),
    ),
    "answers.*.top_answer_share": Measure(
        "Share of the most common written answer",
        "How often the answer given most often is given; near 1 the model has "
        "collapsed onto one answer.",
        "max_answer p(answer), mean over questions with an answer",
        better=None,
        words=NEUTRAL,
    ),
    "answers.*.perturbed_accuracy": replace(
        _ACCURACY,
        title="Answer accuracy, perturbed text",
        meaning="Answer accuracy over perturbed questions (typing errors, case, ...).",
    ),
    "answers.*.perturbed_agreement": replace(
        _AGREEMENT,
        title="Answer agreement under perturbation",
        meaning="Share of pairs of a question's text and its perturbed texts that get "
        "the same answer.",
        formula="equal pairs / pairs of texts",
    ),
    **{
        f"answers.*.{name}": replace(_NAMED[name], meaning=meaning)
        for name, meaning in _OF_ANSWERS.items()
    },
    **{
        f"facts.{name}": replace(_NAMED[name], meaning=meaning)
        for name, meaning in _OF_FACTS.items()
    },
}

"""What no run can tell, how to cite, and where a measure's words come from."""

from concord.errors import ResultsError
from concord.summary import Measure, describe

LIMITS = (
    (
        "Agreement is not truth.",
        "A model can be consistently wrong, and a model that always gives its "
        "favourite answer agrees perfectly. Read agreement with accuracy, "
        "chance-corrected agreement and the share of the top answer.",
    ),
    (
        "Base and tuned model are asked in their own way.",
        "Under the study's prompts a difference mixes what tuning did to the weights "
        "with what the prompt does. The same-prompt control separates the two where it "
        "was measured.",
    ),
    (
        "The answer is the best of a closed list.",
        "Predictions are chosen among a relation's candidates; what the model would "
        "freely say can differ (agreement of the free next token).",
    ),
    (
        "Cosines are not comparable across families.",
        "The gap depends on the scale of a model's states. Compare a tuned model with "
        "its own base, and read AUC and the centred gap beside it.",
    ),
    (
        "Shared wording looks like shared meaning.",
        "Paraphrases often end in the same token. Only what exceeds the lexical gap "
        "speaks of the model.",
    ),
    (
        "One run of one recipe.",
        "One seed, one base and the checkpoints given: another training run of the "
        "same recipe may differ by more than these intervals, which cover the choice "
        "of facts and not that of training.",
    ),
    (
        "The facts are what they are.",
        "One data set, in its own language and about its own kind of entities. The "
        "second interval (relations drawn too, in the tables of all measures and "
        "differences) says how far the result may carry to other relations; nothing "
        "here speaks of other kinds of text.",
    ),
    (
        "No cause is shown.",
        "Differences in representations beside differences in predictions are "
        "correlations until something is intervened on.",
    ),
    (
        "The data may have been seen in training.",
        "A model tuned on these sentences, or on these tasks, is not tested by them.",
    ),
)
"""What no run can tell: a claim and its reason."""

HOW_TO_CITE = (
    "C. Fierro, J. Li and A. Søgaard (2024). Does Instruction Tuning Make LLMs More "
    "Consistent? arXiv 2404.15206."
)
"""The study whose measures these are."""


def measure_words(key: str) -> Measure | None:
    """Meaning, formula and range of a key; None for a measure of the user's own."""
    try:
        return describe(key.partition("@")[0])
    except ResultsError:
        return None

"""Every key of multiple choice: what it means, how it is computed, what is better."""

from dataclasses import replace

from concord.summary.measure import ACCURATE, CONSISTENT, NEUTRAL, Measure

_SENSITIVE = (CONSISTENT[1], CONSISTENT[0])
_ACCURACY = Measure(
    "Choice accuracy",
    "Share of settings, wordings by orders of the options, in which the right option "
    "is chosen; mean over questions.",
    "right choices / prompts",
    words=ACCURATE,
)
_SPREAD = Measure(
    "Choice spread",
    "How far accuracy moves with the instruction: best minus worst, mean over orders "
    "of the options. Noise adds to it; a difference between models is shown as "
    "measured, and claimed only where noise cannot have made it.",
    "mean_o [ max_i acc(i, o) - min_i acc(i, o) ]",
    better="lower",
    words=_SENSITIVE,
)
_AGREEMENT = Measure(
    "Content agreement",
    "Share of pairs of settings that choose the same text. A prompt whose most likely "
    "next token is none of the letters has no answer and agrees with nothing. A model "
    "that always says one letter keeps the text only where the orders leave it behind "
    "that letter.",
    "equal pairs / pairs of settings, mean over questions",
)

CHOICE_MEASURES: dict[str, Measure] = {
    "choices.*.accuracy": replace(_ACCURACY, headline=True),
    "choices.*.accuracy_by_topic": replace(
        _ACCURACY,
        title="Choice accuracy, mean over topics",
        formula="right choices / prompts in a topic, mean over topics",
    ),
    "choices.*.accuracy_without_others": replace(
        _ACCURACY,
        title="Choice accuracy, plain options",
        meaning="Choice accuracy over questions without an option that speaks of "
        "others (all of the above).",
    ),
    "choices.*.spread": replace(_SPREAD, headline=True),
    "choices.*.spread_expected": replace(
        _SPREAD,
        title="Spread by noise alone",
        meaning="The spread expected if all settings were equally good: settings "
        "exchanged at random within every question, or cluster of like ones. The upper "
        "end bounds it.",
        formula="mean spread over permutations of settings within clusters",
        better=None,
        words=NEUTRAL,
    ),
    "choices.*.spread_nine": replace(
        _SPREAD,
        title="Spread over all settings",
        meaning="Best minus worst accuracy over all settings.",
        formula="max_{i,o} acc(i, o) - min_{i,o} acc(i, o)",
    ),
    "choices.*.spread_orders": replace(
        _SPREAD,
        title="Spread over orders",
        meaning="How far accuracy moves with the order of the options; shows "
        "preference for a letter.",
        formula="mean_i [ max_o acc(i, o) - min_o acc(i, o) ]",
    ),
    "choices.*.content_agreement": replace(_AGREEMENT, headline=True),
    "choices.*.content_agreement_without_others": replace(
        _AGREEMENT,
        title="Content agreement, plain options",
        meaning="Content agreement over questions without an option that speaks of "
        "others (all of the above).",
    ),
    "choices.*.content_agreement_without_near_ties": replace(
        _AGREEMENT,
        title="Content agreement, without near ties",
        meaning="Content agreement without prompts whose margin lies inside twice the "
        "noise floor: batching alone could change them.",
    ),
    "choices.*.group_agreement": replace(
        _AGREEMENT,
        title="Agreement within groups",
        meaning="Share of pairs of questions of one group, wordings of one question "
        "that the task's author wrote, that choose the same text in the same setting.",
        formula="equal pairs / pairs of a group's questions in one setting",
    ),
    "choices.*.rewording_agreement": replace(
        _AGREEMENT,
        title="Agreement under rewording",
        meaning="Share of pairs of wordings that choose the same text, the order of "
        "the options being the same.",
        formula="equal pairs / pairs of wordings in one order",
    ),
    "choices.*.reordering_agreement": replace(
        _AGREEMENT,
        title="Agreement under reordering",
        meaning="Share of pairs of orders that choose the same text, the wording "
        "being the same.",
        formula="equal pairs / pairs of orders in one wording",
    ),
    "choices.*.letter_agreement": replace(
        _AGREEMENT,
        title="Letters kept under reordering",
        meaning="Share of pairs of orders that choose the same letter; above the "
        "agreement under reordering it means position bias.",
        formula="pairs with one letter / pairs of orders in one wording",
        better="lower",
        words=("follows letters more", "follows letters less"),
    ),
    "choices.*.forced_agreement": replace(
        _AGREEMENT,
        title="Content agreement of forced choices",
        meaning="Content agreement of the best letters, also where the most likely "
        "next token is none of them: what the model would choose if it had to.",
    ),
    "choices.*.no_answer": Measure(
        "No answer",
        "Share of prompts whose most likely next token is none of the letters.",
        "prompts without a letter / prompts",
        better="lower",
        words=("answers less often", "answers more often"),
    ),
    "choices.*.top_letter_share": Measure(
        "Share of the most common letter",
        "How often the letter chosen most often is chosen; near 1 the model always "
        "says one letter.",
        "max_letter p(letter)",
        better=None,
        words=NEUTRAL,
    ),
    "choices.*.perturbed_accuracy": replace(
        _ACCURACY,
        title="Choice accuracy, perturbed text",
        meaning="Choice accuracy over perturbed questions (typing errors, case, ...).",
    ),
    "choices.*.perturbed_agreement": replace(
        _AGREEMENT,
        title="Agreement under perturbation",
        meaning="Share of pairs of a question's text and its perturbed texts that "
        "choose the same option, the order being the same.",
        formula="equal pairs / pairs of texts in one order",
    ),
    "choices.*.rankc": replace(
        _AGREEMENT,
        title="RankC",
        meaning="Weighted overlap of the rankings of all options between two settings.",
        formula="sum_j w_j |top_j & top'_j| / j, w = softmax_j(N - j + 1)",
    ),
    "choices.*.posix": Measure(
        "POSIX",
        "How far the log-probability of a chosen option moves between settings.",
        "1 / (n (n - 1)) sum_ij |log P(y_j|x_i) - log P(y_j|x_j)| / len(y_j)",
        unit="nats per token",
        highest=None,
        better="lower",
        words=_SENSITIVE,
    ),
    "choices.*.format_spread": replace(
        _SPREAD,
        title="Format spread",
        meaning="Best minus worst accuracy over all settings.",
        formula="max_f acc(f) - min_f acc(f)",
    ),
    "choices.*.prompt_sensi_score": Measure(
        "PromptSensiScore",
        "Share of pairs of settings of which just one is right.",
        "sum_{i<j} |Y_i - Y_j| / C(n, 2)",
        better="lower",
        words=_SENSITIVE,
    ),
    "choices.*.paraphrastic_consistency": replace(
        _AGREEMENT,
        title="Paraphrastic consistency",
        meaning="Share of pairs of settings that are both right or both wrong.",
        formula="1 - PromptSensiScore",
    ),
    "choices.*.consistency_rate": replace(
        _AGREEMENT,
        title="SCORE consistency rate",
        meaning="Share of pairs of settings with the same answer; unanswered agrees "
        "with nothing.",
        formula="sum_{i<j} [y_i = y_j] / C(n, 2)",
    ),
    "choices.*.xparacon": Measure(
        "XParaCon",
        "How little accuracy over orders of the options moves between wordings.",
        "-log2( mean over questions of std over wordings of acc )",
        unit="bits",
        lowest=1.0,
        highest=None,
    ),
    "choices.*.xparacon_deviation": Measure(
        "XParaCon's deviation",
        "How far accuracy over orders of the options moves between wordings; 0 where "
        "the index is infinite.",
        "mean over questions of std over wordings of acc",
        highest=0.5,
        better="lower",
        words=_SENSITIVE,
    ),
    "choices.*.sensitivity": Measure(
        "Sensitivity",
        "Entropy of the mean distribution over options; needs no right answers.",
        "H(mean over settings of p) / log(options)",
        better="lower",
        words=_SENSITIVE,
    ),
    "choices.*.class_consistency": replace(
        _AGREEMENT,
        title="Class consistency",
        meaning="How alike questions of one right class are answered; only where all "
        "questions have the same options.",
        formula="1 - (1/2) sum_k |p_x(k) - p_x'(k)|, mean over pairs of a class",
    ),
}

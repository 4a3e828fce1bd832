"""What a run cannot tell is told in sentences that are true of it and name it."""

from typing import Any

import pytest

from concord.report.caveats import caveats, same_weights
from concord.report.choice_warnings import position_warnings
from concord.report.findings import Findings
from concord.report.words import LIMITS


def _told(**content: Any) -> str:
    head = {"base": "base", "tuned": ["a", "b"], "measures": []}
    return "\n".join(caveats(Findings(head | content), {}, []))


def _noise(*shares: float) -> dict[str, Any]:
    own = {"delta": 1e-5, "n": 40, "near_ties": None}
    models = ("base", "a", "b")
    return {
        model: own | {"self_agreement": share}
        for model, share in zip(models, shares, strict=False)
    }


def test_the_fewest_predictions_that_stay_are_named_only_where_some_move():
    told = _told(noise=_noise(1.0, 1.0, 1.0))
    assert "all predictions of every model stay (of 40 prompts at least)" in told
    assert "fewest" not in told
    told = _told(noise=_noise(1.0, 0.975, 1.0))
    assert ".975 or more of each model's predictions stay (fewest: a, of 40" in told
    assert ".975 of base's predictions stay (of 40" in _told(noise=_noise(0.975))


def test_power_names_measure_data_set_and_the_models_it_is_adjusted_for():
    measures = [
        {"key": "choices.mmlu.accuracy", "title": "Accuracy", "dataset": "mmlu"},
        {"key": "facts.accuracy", "title": "Accuracy", "dataset": "pararel"},
    ]
    row = {"key": "choices.mmlu.accuracy", "tests": 2}
    power = [
        row | {"model": "a", "smallest_difference": 0.031},
        row | {"model": "b", "smallest_difference": 0.042},
        {"key": "facts.accuracy", "model": "a", "smallest_difference": None},
    ]
    told = _told(measures=measures, power=power)
    assert (
        "A true difference below these may be missed more than one time in five at "
        "this size, from model to model: accuracy on mmlu, .031 to .042 (with 2 tuned "
        "models tested at once)."
    ) in told
    assert "pararel" not in told
    other = {"key": "facts.accuracy", "model": "a", "smallest_difference": 0.2}
    both = _told(measures=measures, power=[*power, other | {"tests": 1}])
    assert "tested at once); accuracy on pararel, .200." in both
    alone = _told(measures=measures, power=[power[0] | {"tests": 1}])
    assert "model to model: accuracy on mmlu, .031." in alone


def test_what_was_not_measured_is_named_by_title_and_model():
    def measure(key: str, title: str, *missing: str) -> dict[str, Any]:
        values = [
            {"model": model, "value": None, "reason": "no rows"}
            if model in missing
            else {"model": model, "value": 0.5}
            for model in ("base", "a", "b")
        ]
        return {"key": key, "title": title, "dataset": "pararel", "values": values}

    measures = [
        measure("facts.agreement", "Agreement", "a"),
        measure("facts.accuracy", "Accuracy", "a"),
        measure("extraction.mhsa", "MHSA events", "base", "a", "b"),
    ]
    assert (
        "Not measured (no rows): agreement on pararel and accuracy on pararel for a; "
        "MHSA events on pararel for every model."
    ) in _told(measures=measures)


def test_few_subjects_speak_of_agreement_alone():
    values = [{"model": "base", "value": 0.5, "n": {"subjects": 40}}]
    told = _told(measures=[{"key": "facts.agreement", "values": values}])
    assert "Only 40 subjects: differences in agreement of a few points" in told


def _letters(model: str, share: float, contexts: str = "study") -> dict[str, Any]:
    return {
        "dataset": "mmlu",
        "model": model,
        "contexts": contexts,
        "chosen": {"A": 1 - share, "B": share},
        "right": {"A": 0.5, "B": 0.5},
        "follows_letters": share > 0.6,
        "favoured": [],
        "letter_agreement": 0.9,
        "content_agreement": 0.2,
        "no_answer": 0.0,
    }


@pytest.mark.parametrize("count", [1, 10])
def test_models_that_always_say_one_letter_are_told_in_one_sentence(count: int):
    rows = [_letters(f"t{place}", 1.0) for place in range(count)]
    rows += [_letters("fair", 0.5), _letters("t0", 1.0, "same")]
    findings = Findings({"choices": {"letters": rows}})
    whose = "Its" if count == 1 else "Their"
    who = "t0 always chooses" if count == 1 else "10 of 11 models always choose"
    assert position_warnings(findings) == [
        f"Position bias on mmlu: {who} B; t0 always chooses B under the "
        f"base's prompts. {whose} accuracy and small spread say nothing about "
        "consistency."
    ]


def test_models_that_say_no_letter_alike_often_are_named_together():
    rows = [_letters(f"t{place}", 0.5) | {"no_answer": 1.0} for place in range(5)]
    rows.append(_letters("t0", 0.5, "same") | {"no_answer": 1.0})
    rows.append(_letters("rare", 0.5) | {"no_answer": 0.6})
    (told,) = position_warnings(Findings({"choices": {"letters": rows}}))
    assert (
        "none of the letters in 100% of prompts to t0, t1, t2, t3 and 2 more; 60% of "
        "prompts to rare. These choices"
    ) in told


def test_a_favoured_letter_is_told_of_the_answers_given():
    row = _letters("m", 0.5) | {"favoured": ["B"], "follows_letters": False}
    row |= {"answered_chosen": {"A": 0.2, "B": 0.8}}
    row |= {"answered_right": {"A": 0.75, "B": 0.25}}
    (told,) = position_warnings(Findings({"choices": {"letters": [row]}}))
    assert "m chooses B in 80% of its answers where it is right in 25%" in told


def test_no_warning_points_to_a_table_that_may_not_follow():
    rows = [_letters(f"t{place}", 0.9) for place in range(6)]
    (told,) = position_warnings(Findings({"choices": {"letters": rows}}))
    assert "; and 2 more." in told and "table" not in told


def test_limits_say_nothing_of_what_entities_are():
    assert "encyclopedia" not in " ".join(why for _, why in LIMITS)


def test_every_note_ends_as_a_sentence():
    told = _told(notes=["rte: seen in training", "One seed was used."])
    assert told.endswith("rte: seen in training.\nOne seed was used.")


def test_no_near_tie_is_said_in_words():
    noise = {model: own | {"near_ties": 0.0} for model, own in _noise(1.0, 1.0).items()}
    assert "No prediction has a margin below twice that." in _told(noise=noise)
    noise["a"]["near_ties"] = 0.02
    told = _told(noise=noise)
    assert "At most .020 of a model's predictions have a margin below twice" in told


def test_a_tuned_model_that_is_the_base_is_named():
    findings = Findings({"base": "base", "tuned": ["a", "b"], "measures": []})
    prints = {"base": "1f", "a": "1f", "b": "2e"}
    info = {"models": {name: {"fingerprint": own} for name, own in prints.items()}}
    (told,) = same_weights(findings, info)
    assert told.startswith("a is base itself, weight by weight: all its differences")
    assert told in caveats(findings, info, [])
    assert same_weights(findings, {"models": {"base": {}, "a": {}}}) == []

"""From rows of choices to numbers and warnings, on models with one thing to say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from choice_models import (
    some_questions,
    write_pair,
    write_questions,
    write_single_minded,
)

from concord.compare import compare
from concord.errors import ConcordError
from concord.metrics.bootstrap import cluster_units
from concord.metrics.spread import accuracy_by_setting, spread_over_orders
from concord.results import Run, read_rows
from concord.study import resolve_study
from concord.summary.choice_measures import CHOICE_MEASURES
from concord.summary.choices import UNLIKE, drop_unlike
from concord.summary.entries import measure_entries
from concord.summary.estimates import Sample, Settings, add_pairs, mean_outcome

EVERY = (
    "rankc posix format_spread prompt_sensi_score paraphrastic_consistency "
    "consistency_rate xparacon sensitivity class_consistency"
).split()
AGREEMENTS = (
    *("content_agreement", "rewording_agreement", "reordering_agreement"),
    *("content_agreement_without_others", "content_agreement_without_near_ties"),
    *("letter_agreement", "consistency_rate"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Run:
    """A model that always says A, one that says no letter, and an ordinary one."""
    folder = tmp_path_factory.mktemp("choices")
    base_folder, tuned_folder = write_pair(folder)
    says_a = write_single_minded(base_folder, folder / "says-a", "Answer: A")
    says_nothing = write_single_minded(base_folder, folder / "says-nothing", " the")
    data = write_questions(
        folder,
        {
            "law": [*some_questions(8), some_questions(1)[0]],
            "towns": [["Which?", "a", "b", "c", "All of the above", "D"]] * 2,
        },
    )
    study = resolve_study(
        {
            "base": str(says_a),
            "tuned": [str(says_nothing), str(tuned_folder)],
            "data_dir": str(data),
            "analyses": ["choices"],
            "statistics": {
                "replicates": 200,
                "permutations": 200,
            },
            "measures": EVERY,
        }
    )
    return compare(study, folder / "run")


@pytest.fixture(scope="module")
def summary(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "summary.json").read_text(encoding="utf-8"))


def value(summary: dict[str, Any], name: str, model: str = "says-a") -> Any:
    return entry(summary, name, model)["value"]


def entry(summary: dict[str, Any], name: str, model: str) -> dict[str, Any]:
    key = f"choices.mmlu.{name}"
    found = next(m for m in summary["measures"] if m["key"] == key)
    return next(v for v in found["values"] if v["model"] == model)


def verdict_of(summary: dict[str, Any], name: str, model: str) -> str:
    key = f"choices.mmlu.{name}"
    found = next(m for m in summary["measures"] if m["key"] == key)
    return next(d for d in found["differences"] if d["model"] == model)["verdict"]


def test_always_a_has_content_agreement_at_chance_and_the_warning(
    summary: dict[str, Any],
):
    assert value(summary, "content_agreement") == pytest.approx(0.25)
    assert value(summary, "rewording_agreement") == 1
    assert value(summary, "reordering_agreement") == 0
    assert value(summary, "letter_agreement") == 1
    assert value(summary, "top_letter_share") == 1
    assert value(summary, "spread") == 0
    warning = next(
        text
        for text in summary["choices"]["warnings"]
        if text.startswith("Position bias") and "says-a on mmlu" in text
    )
    assert "keeps the letter in 100% of pairs and the content in 0%" in warning


def test_a_model_that_answers_nothing_is_not_consistent(summary: dict[str, Any]):
    assert value(summary, "no_answer", "says-nothing") == 1
    for name in AGREEMENTS:
        assert value(summary, name, "says-nothing") == 0, name
        assert verdict_of(summary, name, "says-nothing") != "more consistent", name
    # Its best letter is always the same: forced, it is as consistent as always A.
    assert value(summary, "forced_agreement", "says-nothing") == pytest.approx(0.25)
    assert verdict_of(summary, "content_agreement", "says-nothing") == "less consistent"
    assert any(
        text.startswith("No answer: in 100%") and "says-nothing" in text
        for text in summary["choices"]["warnings"]
    )
    assert value(summary, "no_answer") == 0


def test_every_constant_letter_is_warned_of_and_explained(tmp_path: Path):
    """What each keeps follows from the orders: behind B and D two put one option."""
    base, _ = write_pair(tmp_path)
    models = {
        letter: write_single_minded(base, tmp_path / letter, f"Answer: {letter}")
        for letter in "ABCD"
    }
    study = resolve_study(
        {
            "base": str(models["A"]),
            "tuned": [str(models[letter]) for letter in "BCD"],
            "data_dir": str(write_questions(tmp_path, {"law": some_questions(8)})),
            "analyses": ["choices"],
            "contexts": ["study"],
            "choices": {"noise_prompts": 0},
            "statistics": {"replicates": 100, "permutations": 1000},
        }
    )
    done = compare(study, tmp_path / "run")
    found = json.loads((done.path / "summary.json").read_text(encoding="utf-8"))
    rows = {row["model"]: row for row in found["choices"]["letters"]}
    for letter, expected in zip("ABCD", (0.25, 0.5, 0.25, 0.5), strict=True):
        assert value(found, "content_agreement", letter) == pytest.approx(expected)
        constant = rows[letter]["constant_agreement"][letter]
        assert constant == pytest.approx(expected)
        assert rows[letter]["follows_letters"]
        assert rows[letter]["favoured"] == [letter]
        assert any(
            text.startswith("Position bias") and f"{letter} on mmlu" in text
            for text in found["choices"]["warnings"]
        )
    table = (done.path / "tables" / "choice-letters.csv").read_text(encoding="utf-8")
    assert "content agreement of one letter,study,0.25,0.5,0.25,0.5" in table


def test_accuracy_of_always_a_is_how_often_a_is_right(summary: dict[str, Any]):
    """Worked from the questions: right letters move with the order of the options."""
    right = ["ABCD" * 2 + "A", "DD"]
    places = ["ABCD".index(letter) for letter in "".join(right)]
    per_order = [sum(p == first for p in places) / 11 for first in (0, 1, 3)]
    assert value(summary, "accuracy") == pytest.approx(sum(per_order) / 3)
    assert value(summary, "spread_orders") == pytest.approx(
        max(per_order) - min(per_order)
    )
    alone = [sum(p == first for p in places[:9]) / 9 for first in (0, 1, 3)]
    assert value(summary, "accuracy_without_others") == pytest.approx(sum(alone) / 3)
    topics = (sum(alone) / 3 + 1 / 3) / 2
    assert value(summary, "accuracy_by_topic") == pytest.approx(topics)


def test_spreads_equal_their_definitions_on_the_rows(run: Run, summary: dict[str, Any]):
    label = "tuned"
    table = read_rows(run, "choices", label)
    assert table is not None
    rows = [row for row in table.to_pylist() if row["contexts"] == "study"]
    grid = np.zeros((11, 3, 3), bool)
    items = sorted({row["item"] for row in rows})
    for row in rows:
        place = (items.index(row["item"]), row["wording"], row["order"])
        grid[place] = row["is_correct"]
    accuracy = accuracy_by_setting(grid)
    assert value(summary, "spread_orders", label) == pytest.approx(
        spread_over_orders(accuracy) / 100
    )
    assert value(summary, "spread_nine", label) == pytest.approx(np.ptp(accuracy) / 100)
    assert value(summary, "accuracy", label) == pytest.approx(grid.mean())
    found = entry(summary, "spread", label)
    assert found["low"] <= found["value"] <= found["high"] + 0.2
    assert value(summary, "spread_expected", label) >= 0


def test_repeated_questions_are_drawn_together(summary: dict[str, Any]):
    assert entry(summary, "accuracy", "says-a")["n"]["facts"] == 11
    # The first of "law" and the one of "towns" stand there twice.
    assert entry(summary, "accuracy", "says-a")["n"]["subjects"] == 9


def test_the_noise_floor_is_measured_and_near_ties_are_left_out(
    run: Run, summary: dict[str, Any]
):
    noise = summary["choices"]["noise"]
    assert {row["model"] for row in noise} == {"says-a", "says-nothing", "tuned"}
    for row in noise:
        assert row["n"] > 0
        assert row["delta"] < 1e-3
        assert row["self_agreement"] == 1
    kept = entry(summary, "content_agreement_without_near_ties", "says-a")
    assert kept["value"] == pytest.approx(0.25)
    table = (run.path / "tables" / "choice-noise.csv").read_text(encoding="utf-8")
    assert table.startswith("data set,model,contexts,prompts,")


def test_questions_of_one_group_are_compared_by_the_text_chosen(tmp_path: Path):
    """Options stand in other orders, so a model that always says A chooses others."""
    base, tuned = write_pair(tmp_path)
    says_a = write_single_minded(base, tmp_path / "says-a", "Answer: A")
    rows = [
        {"question": "One?", "options": ["x", "y"], "answer": "x", "group": "g"},
        {"question": "Uno?", "options": ["x", "y"], "answer": "x", "group": "g"},
        {"question": "Two?", "options": ["x", "y"], "answer": "x", "group": "h"},
        {"question": "Duo?", "options": ["y", "x"], "answer": "x", "group": "h"},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    study = resolve_study(
        {"base": str(says_a), "tuned": [str(tuned)], "analyses": ["choices"]},
        {"choices": {"datasets": [str(path)], "orders": ["identity"]}},
        {"statistics": {"replicates": 100, "permutations": 100}},
    )
    done = compare(study, tmp_path / "run")
    found = json.loads((done.path / "summary.json").read_text(encoding="utf-8"))
    key = "choices.pairs.group_agreement"
    measure = next(m for m in found["measures"] if m["key"] == key)
    own = next(v for v in measure["values"] if v["model"] == "says-a")
    # The first pair agrees, the second does not; two groups are two units.
    assert own["value"] == pytest.approx(0.5)
    assert (own["n"]["facts"], own["n"]["subjects"]) == (2, 2)


def test_the_page_says_each_warning_once_for_all_models(run: Run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert page.count('<p class="banner">Position bias on mmlu') == 1
    assert page.count('<p class="banner">No answer on mmlu') == 1
    assert "says-a always chooses A" in page


def test_what_cannot_be_measured_is_null_with_its_reason(summary: dict[str, Any]):
    index = entry(summary, "xparacon", "says-a")
    assert index["value"] is None
    assert "wording moves the accuracy of no question" in index["reason"]
    classes = entry(summary, "class_consistency", "says-a")
    assert (classes["value"], "no classes" in classes["reason"]) == (None, True)


def test_every_key_of_choices_is_measured_and_described(summary: dict[str, Any]):
    found = {measure["key"].partition("@")[0] for measure in summary["measures"]}
    expected = {
        key.replace("*", "mmlu")
        for key in CHOICE_MEASURES
        if "perturbed" not in key and "group" not in key
    }
    assert found == expected


def test_differences_have_the_same_prompt_control_and_p_values(
    summary: dict[str, Any],
):
    keys = {measure["key"]: measure for measure in summary["measures"]}
    for key in ("choices.mmlu.accuracy@same", "choices.mmlu.spread@same"):
        for difference in keys[key]["differences"]:
            assert 0 < difference["p"] <= difference["p_adjusted"] <= 1
    assert "choices.mmlu.accuracy@prompt" in keys


def test_the_report_has_its_section_table_and_warning(run: Run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert '<section id="choices">' in page
    assert '<p class="banner">Position bias' in page
    table = (run.path / "tables" / "choices.csv").read_text(encoding="utf-8")
    assert "content agreement" in table.splitlines()[0]
    letters = (run.path / "tables" / "choice-letters.csv").read_text(encoding="utf-8")
    assert "mmlu,says-a,study,1.0,0.0,0.0,0.0" in letters
    second = (run.path / "tables" / "table2.csv").read_text(encoding="utf-8")
    assert second.startswith("model,MMLU accuracy,MMLU accuracy low")
    assert (run.path / "figures" / "choices-mmlu-spread.svg").is_file()


def test_perturbed_texts_take_part_in_their_own_measures_alone(tmp_path: Path):
    base, tuned = write_pair(tmp_path)
    data = write_questions(tmp_path, {"law": some_questions(4)})
    settings = {
        "base": str(base),
        "tuned": [str(tuned)],
        "data_dir": str(data),
        "analyses": ["choices"],
        "contexts": ["study"],
        "statistics": {"replicates": 100, "permutations": 100},
    }
    plain, perturbed = (
        json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
        for run in (
            compare(resolve_study(settings), tmp_path / "plain"),
            compare(
                resolve_study(settings, {"choices": {"perturbations": ["case"]}}),
                tmp_path / "perturbed",
            ),
        )
    )
    for name in ("accuracy", "spread", "content_agreement"):
        assert value(plain, name, "base") == value(perturbed, name, "base")
    assert 0 <= value(perturbed, "perturbed_agreement", "base") <= 1


def test_answers_are_not_compared_with_forced_choices():
    """One endpoint tells the likeliest token, the other does not."""
    clusters = cluster_units(np.full(3, "t"), np.arange(3))
    sample = Sample("choices", "d", clusters, ("t",), "micro", False)
    for name in ("accuracy", "content_agreement", "forced_agreement"):
        for model in ("base", "tuned"):
            sample.values[f"choices.d.{name}", model] = mean_outcome(np.ones((1, 3)))
    add_pairs(sample, ["base", "tuned"])
    drop_unlike(sample, {"base": True, "tuned": True}, "base")
    assert len(sample.pairs) == 3
    drop_unlike(sample, {"base": False, "tuned": True}, "base")
    kept = [pair.key for pair in sample.pairs]
    assert kept == ["choices.d.accuracy", "choices.d.forced_agreement"]
    entries = measure_entries(
        sample, ["base", "tuned"], Settings(100, 100, level=0.95, seed=0)
    )
    (found,) = next(e for e in entries if "content" in e["key"])["differences"]
    assert (found["value"], found["reason"]) == (None, UNLIKE)


def test_questions_that_are_too_long_are_refused_or_left_out_of_all(tmp_path: Path):
    """Both models take 512 tokens; the last question alone has more."""
    base, tuned = write_pair(tmp_path)
    rows = some_questions(4)
    rows[-1][0] = "Which town? " * 300
    settings = {
        "base": str(base),
        "tuned": [str(tuned)],
        "data_dir": str(write_questions(tmp_path, {"law": rows})),
        "analyses": ["choices"],
        "contexts": ["study"],
        "statistics": {"replicates": 100, "permutations": 100},
    }
    with pytest.raises(ConcordError, match=r"law_test\.csv, line 4.*leave_out"):
        compare(resolve_study(settings), tmp_path / "refused")
    study = resolve_study(settings, {"choices": {"too_long": "leave_out"}})
    done = compare(study, tmp_path / "run")
    found = json.loads((done.path / "summary.json").read_text(encoding="utf-8"))
    for model in ("base", "tuned"):
        assert entry(found, "accuracy", model)["n"]["facts"] == 3
    assert any(
        note.startswith("mmlu: 1 questions were not asked of every model")
        for note in found["notes"]
    )

"""From rows of classifiers with planted answers to exact measures, by both rules."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from concord.results import Run, claim, open_run, write_json, write_part, write_text
from concord.study import OTHER_MEASURES, resolve_study, study_to_yaml
from concord.summary import Settings, Summary, describe, summarise
from concord.summary.finetuned_measures import FINETUNED_MEASURES
from concord.summary.finetuned_others import MISSING, NO_PARAPHRASES

Side = tuple[int, int]
"""Right class and given class."""


def row(task: str, split: str, name: str, side: Side, **more: Any) -> dict[str, Any]:
    label, given = side
    return {
        "task": task,
        "split": split,
        "item": f"{split}:{name}",
        "pair": None,
        "is_changed": False,
        "cluster": f"{task} {name}",
        "is_in_training": False,
        "is_shortened": False,
        "label": label,
        "prediction": given,
        "label_probability": 0.9 if label == given else 0.1,
        "rounds": 3,
        "trained_weights": 1000,
        **more,
    }


def pairs(
    task: str, split: str, sides: list[tuple[Side, Side]], **more: Any
) -> list[dict[str, Any]]:
    """Both sides of each pair."""
    return [
        row(
            task,
            split,
            f"{number}{'cd'[place]}",
            side,
            pair=f"{split}:{number}",
            is_changed=bool(place),
            **{"cluster": f"{task} {number}", **more},
        )
        for number, both in enumerate(sides)
        for place, side in enumerate(both)
    ]


def scored(task: str, sides: list[Side]) -> list[dict[str, Any]]:
    return [row(task, "scored", str(n), side) for n, side in enumerate(sides)]


def held_out(task: str, right: int, count: int = 10) -> list[dict[str, Any]]:
    return [row(task, "held_out", str(n), (0, int(n >= right))) for n in range(count)]


RTE_FIRST = [
    *scored("rte", [(0, 0)] * 5 + [(1, 1)] * 3 + [(1, 0)] * 2),  # 8 of 10 right
    *pairs("rte", "semantic", [((0, 0), (0, 0))] * 7 + [((0, 0), (0, 1))] * 3),
    # Classes change: six answers do, one of them without being right at first.
    *pairs(
        "rte",
        "negational",
        [((0, 0), (1, 1))] * 5 + [((0, 1), (1, 0))] + [((0, 0), (1, 0))] * 2,
    ),
    *pairs("rte", "symmetric_held_out", [((1, 1), (1, 1))] * 3 + [((1, 1), (1, 0))]),
    *pairs(
        "rte",
        "symmetric",
        [((1, 1), (1, 1))] * 4 + [((1, 0), (1, 1))],
        is_in_training=True,
    ),
]
# Another seed: every answer of the semantic set is kept, and all else as before.
RTE_SECOND = [
    one | ({"prediction": 0} if one["split"] == "semantic" else {}) for one in RTE_FIRST
]
# Negation leaves the class alone: an equal answer is right, in three of four.
WIC = [
    *scored("wic", [(0, 0), (1, 1), (0, 1), (1, 0)]),
    *pairs("wic", "negational", [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((1, 0), (1, 0))]
           + [((0, 0), (0, 1))]),
]  # fmt: skip
CONSTANT = [one | {"prediction": 0, "label_probability": 0.5} for one in RTE_FIRST]


def with_training(
    rows: list[dict[str, Any]], rate: float, seed: int
) -> list[dict[str, Any]]:
    return [
        {
            **one,
            "rate": rate,
            "seed": seed,
            "probabilities": [0.1, 0.9] if one["prediction"] else [0.9, 0.1],
        }
        for one in rows
    ]


def write_run(folder: Path, models: dict[str, list[dict[str, Any]]]) -> Run:
    base, *tuned = models
    study = resolve_study(
        {"base": base, "tuned": tuned, "analyses": ["finetuned"]},
        {"measures": list(OTHER_MEASURES)},
    )
    write_text(folder / "study.yaml", study_to_yaml(study))
    write_json(
        folder / "run.json", {"base": base, "tuned": tuned, "models": {}, "data": {}}
    )
    run = open_run(folder)
    for model, rows in models.items():
        mark = claim(run, "finetuned", model, {"model": model})
        kinds = {"pair": pa.string(), "seed": pa.int32()}
        table = pa.table(
            {
                name: pa.array([one[name] for one in rows], kinds.get(name))
                for name in rows[0]
            }
        )
        write_part(run, "finetuned", model, name="all", key=mark, table=table)
    return run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    worse = [one | {"prediction": 1 - one["prediction"]} for one in RTE_FIRST]
    base = [
        *with_training(RTE_FIRST + held_out("rte", 9), 1e-4, 0),
        *with_training(RTE_SECOND + held_out("rte", 7), 1e-4, 1),
        # Better on what is scored would not help: the held-out rows choose.
        *with_training(worse + held_out("rte", 6), 5e-4, 0),
        *with_training(worse + held_out("rte", 9), 5e-4, 1),
        *with_training(WIC + held_out("wic", 5), 1e-4, 0),
        *with_training(WIC + held_out("wic", 5), 1e-4, 1),
    ]
    constant = [
        *with_training(CONSTANT + held_out("rte", 5), 1e-4, 0),
        *with_training(CONSTANT + held_out("rte", 5), 1e-4, 1),
        *with_training(WIC + held_out("wic", 5), 1e-4, 0),
        *with_training(WIC + held_out("wic", 5), 1e-4, 1),
    ]
    run = write_run(
        tmp_path_factory.mktemp("run"), {"base": base, "constant": constant}
    )
    return summarise(run, Settings(200, 200, level=0.95, seed=0))


def entry(summary: Summary, key: str, model: str = "base") -> dict[str, Any]:
    found = next(one for one in summary["measures"] if one["key"] == key)
    return next(one for one in found["values"] if one["model"] == model)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("rte.accuracy", 0.8),
        ("rte.semantic", (0.7 + 1) / 2),
        ("rte.semantic_conditioned", (0.7 + 1) / 2),
        ("rte.negational", 6 / 8),
        ("rte.negational_paper", 6 / 8),
        ("rte.negational_exact", 5 / 8),
        ("rte.negational_conditioned", 5 / 7),
        ("rte.symmetric", 3 / 4),
        ("rte.symmetric_becel", 4 / 5),
        ("rte.top_class_share", 0.7),
        ("wic.accuracy", 0.5),
        ("wic.negational", 3 / 4),
        ("wic.negational_paper", 1 / 4),
        ("wic.negational_exact", 2 / 4),
        ("mean.accuracy", (0.8 + 0.5) / 2),
        ("mean.semantic", 0.85),
        ("mean.negational", (6 / 8 + 3 / 4) / 2),
        ("mean.negational_paper", (6 / 8 + 1 / 4) / 2),
        ("mean.negational_without_wic", 6 / 8),
        ("mean.symmetric", 3 / 4),
    ],
)
def test_planted_answers_give_the_exact_measure(
    summary: Summary, key: str, wanted: float
):
    found = entry(summary, f"finetuned.{key}")
    assert found["value"] == pytest.approx(wanted)
    if found["n"]["subjects"] < 5:
        assert found["low"] is None
        assert "no interval" in found["reason"]
    else:
        assert found["low"] <= wanted <= found["high"]


def test_a_pair_whose_class_stays_is_scored_against_its_own_label(summary: Summary):
    corrected = entry(summary, "finetuned.wic.negational")["value"]
    published = entry(summary, "finetuned.wic.negational_paper")["value"]
    assert published == pytest.approx(1 - corrected)


def test_seeds_are_averaged_and_their_deviation_stands_beside(summary: Summary):
    found = entry(summary, "finetuned.rte.semantic")
    # Of .7 and 1: (1 - .7) / sqrt(2).
    assert found["contexts_sd"] == pytest.approx(0.3 / 2**0.5)
    assert found["n"]["facts"] == 10
    assert any("its deviation over seeds" in note for note in summary["notes"])


def test_one_seed_promises_no_deviation(tmp_path: Path):
    base = with_training(RTE_FIRST + held_out("rte", 5), 1e-4, 0)
    run = write_run(tmp_path, {"base": base, "tuned": base})
    found = summarise(run, Settings(100, 100, level=0.95, seed=0))
    assert entry(found, "finetuned.rte.semantic")["contexts_sd"] is None
    notes = " ".join(found["notes"])
    assert "change is not known: each was trained with one seed." in notes
    assert "deviation" not in notes


def test_a_constant_classifier_scores_one_one_and_zero_and_is_called_so(
    summary: Summary,
):
    for name, wanted in (("semantic", 1), ("symmetric", 1), ("negational_paper", 0)):
        found = entry(summary, f"finetuned.rte.{name}", "constant")
        assert found["value"] == wanted
    warnings = summary["finetuned"]["warnings"]
    assert any("classifiers of constant give one class to 100 %" in w for w in warnings)
    assert not any("classifiers of base" in w for w in warnings if "rte" in w)
    assert set(warnings) <= set(summary["notes"])


def test_a_classifier_no_better_than_one_class_is_named(summary: Summary):
    text = "wic: the classifiers of base are right in 50 % of the rows"
    assert any(text in warning for warning in summary["finetuned"]["warnings"])


def test_rows_that_were_trained_on_are_warned_of(summary: Summary):
    text = "rte: 5 of 5 rows of the symmetric set hold texts that are trained on"
    assert sum(text in w for w in summary["finetuned"]["warnings"]) == 1


def test_the_rate_is_chosen_by_held_out_rows_alone(summary: Summary):
    tried = [
        (one["rate"], one["accuracy"], one["is_chosen"])
        for one in summary["finetuned"]["trainings"]
        if (one["model"], one["task"]) == ("base", "rte")
    ]
    assert tried == [
        (1e-4, pytest.approx(0.8), True),
        (5e-4, pytest.approx(0.75), False),
    ]


def test_differences_are_paired_and_adjusted(summary: Summary):
    measure = next(
        one for one in summary["measures"] if one["key"] == "finetuned.rte.semantic"
    )
    (found,) = measure["differences"]
    assert found["value"] == pytest.approx(0.15)
    assert found["p_adjusted"] is not None
    same = next(
        one for one in summary["measures"] if one["key"] == "finetuned.wic.negational"
    )["differences"][0]
    assert (same["value"], same["low"], same["high"]) == (0, None, None)


def test_every_key_of_the_summary_has_words(summary: Summary):
    for measure in summary["measures"]:
        assert describe(measure["key"]) in FINETUNED_MEASURES.values()


def test_a_run_that_was_cut_uses_the_rate_with_all_seeds(tmp_path: Path):
    base = [
        *with_training(RTE_FIRST + held_out("rte", 5), 1e-4, 0),
        *with_training(RTE_FIRST + held_out("rte", 5), 1e-4, 1),
        *with_training(RTE_FIRST + held_out("rte", 10), 5e-4, 0),
    ]
    run = write_run(tmp_path, {"base": base, "tuned": base})
    found = summarise(run, Settings(100, 100, level=0.95, seed=0))
    chosen = [one for one in found["finetuned"]["trainings"] if one["is_chosen"]]
    assert {(one["rate"], tuple(one["seeds"])) for one in chosen} == {(1e-4, (0, 1))}


def test_other_measures_are_of_the_paraphrased_rows(summary: Summary):
    """Seven of ten keep their class with the first seed, all with the second."""
    kept = 0.85
    sure = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)
    # Of 45 pairs of rows 21 are one kept and one changed: (.9, .1) and (.5, .5).
    alike = (1 + (24 + 21 * 0.6) / 45) / 2
    expected = {
        "consistency_rate": kept,
        "paraphrastic_consistency": kept,
        "prompt_sensi_score": 1 - kept,
        "sensitivity": kept * sure + 1 - kept,
        # Opposite rankings share the second place alone.
        "rankc": kept + (1 - kept) / (np.e + 1),
        "class_consistency": alike,
    }
    for name, value in expected.items():
        found = entry(summary, f"finetuned.rte.{name}")
        assert found["value"] == pytest.approx(value, abs=1e-6), name
    assert entry(summary, "finetuned.rte.class_consistency")["low"] is None


def test_other_measures_that_rows_cannot_tell_have_their_reason(summary: Summary):
    for name, reason in MISSING.items():
        found = entry(summary, f"finetuned.rte.{name}")
        assert (found["value"], found["reason"]) == (None, reason)
    found = entry(summary, "finetuned.wic.sensitivity")
    assert (found["value"], found["reason"]) == (None, NO_PARAPHRASES)

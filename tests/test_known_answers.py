"""The whole instrument against artificial predictions whose truth is known.

`benchmarks/known_answers.py` draws thousands of tables; here fewer, so that rates may
miss their bounds by `SLACK` standard errors of so few draws.
"""

from pathlib import Path

import numpy as np
import pytest
from artificial_tables import (
    ACCURACY,
    AGREEMENT,
    CORRECTED,
    FEW,
    LARGE,
    MEASURED,
    SMALL,
    Design,
    alarm_hits,
    draw_population,
    entries_of,
    gate_hits,
    keeps_to_answers,
    known_hits,
    one_answer,
    rows_of,
    shares,
    spread_hits,
    truths,
)
from numpy.random import default_rng
from synthetic_run import begin_synthetic_run

from concord.results import claim, write_part
from concord.summary import Settings, summarise

DRAWS = 300
SLACK = 3
WORDS = ("model", "verdict", "reason", "relations_reason")
SETTINGS = Settings(replicates=500, permutations=200, level=0.95, seed=0)

Shares = dict[tuple[str, str, str], float]


def _slack(share: float, draws: int) -> float:
    return SLACK * np.sqrt(share * (1 - share) / draws)


@pytest.fixture(scope="module")
def known() -> Shares:
    return shares(known_hits(d, settings=SETTINGS, seed=0) for d in range(DRAWS))


@pytest.fixture(scope="module")
def small() -> Shares:
    one = {"settings": SETTINGS, "seed": 2, "design": SMALL}
    models = ("base", "changed")
    return shares(known_hits(d, **one, names=models) for d in range(DRAWS // 2))


@pytest.fixture(scope="module")
def alarms() -> Shares:
    return shares(alarm_hits(d, settings=SETTINGS, seed=1) for d in range(DRAWS))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "key"), list(truths()))
def test_95_percent_intervals_hold_what_was_put_into_a_model(known: Shares, model, key):
    for what in ("value", "difference"):
        share = known.get((what, model, key))
        if share is not None:
            assert 0.93 - _slack(0.93, DRAWS) <= share <= 0.97 + _slack(0.97, DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["value", "difference", "relations"])
@pytest.mark.parametrize("key", [AGREEMENT, ACCURACY])
def test_intervals_of_35_relations_of_3_subjects_hold_the_truth(
    small: Shares, what, key
):
    share, draws = small[what, "changed", key], DRAWS // 2
    assert 0.93 - _slack(0.93, draws) <= share <= 0.97 + _slack(0.97, draws)


@pytest.mark.slow
@pytest.mark.parametrize("key", [AGREEMENT, CORRECTED, ACCURACY])
def test_models_like_their_base_are_rarely_said_to_differ(alarms: Shares, key):
    assert alarms["announced", "any", key] <= 0.06 + _slack(0.06, DRAWS)


@pytest.mark.slow
def test_spreads_of_models_like_their_base_are_rarely_said_to_differ():
    few = Settings(replicates=100, permutations=100, level=0.95, seed=0)
    found = shares(spread_hits(d, settings=few, seed=3) for d in range(60))
    assert len(found) == 3
    for share in found.values():
        assert share <= 0.06 + _slack(0.06, 60)


@pytest.mark.slow
@pytest.mark.parametrize("design", [LARGE, SMALL, FEW], ids=lambda one: one.text)
def test_a_loss_of_the_whole_margin_rarely_passes_the_gate(design: Design):
    draws = 150
    one = {"settings": SETTINGS, "seed": 4, "design": design}
    (share,) = shares(gate_hits(d, **one) for d in range(draws)).values()
    assert share <= 0.025 + _slack(0.025, draws)


@pytest.mark.slow
def test_true_differences_are_seen(known: Shares):
    assert known["announced", "changed", AGREEMENT] > 0.8
    assert known["announced", "collapsed", AGREEMENT] > 0.8
    assert known["announced", "guessing", AGREEMENT] == 1.0


@pytest.mark.parametrize("design", [LARGE, SMALL, FEW], ids=lambda one: one.text)
def test_rows_on_disk_give_what_these_tables_give(tmp_path: Path, design: Design):
    population = draw_population(default_rng(5), design)
    models = {
        "base": keeps_to_answers(population),
        "tuned-1": keeps_to_answers(population, 0.06),
    }
    expected = entries_of(population, models, SETTINGS)
    run = begin_synthetic_run(tmp_path, list(models))
    for model, answers in models.items():
        key = claim(run, "facts", model, {"artificial": 5})
        table = rows_of(population, answers)
        write_part(run, "facts", model, name="00000", key=key, table=table)
    found = {entry["key"]: entry for entry in summarise(run, SETTINGS)["measures"]}
    for key in MEASURED:
        for kind in ("values", "differences"):
            for one, other in zip(found[key][kind], expected[key][kind], strict=True):
                numbers = {n: v for n, v in other.items() if isinstance(v, float)}
                assert {n: one[n] for n in numbers} == pytest.approx(numbers)
                assert [one.get(n) for n in WORDS] == [other.get(n) for n in WORDS]


def test_one_answer_to_everything_agrees_fully_and_its_correction_is_null():
    population = draw_population(default_rng(3))
    models = {"base": keeps_to_answers(population), "tuned": one_answer(population)}
    entries = entries_of(population, models, SETTINGS)
    (agreement,) = (e for e in entries[AGREEMENT]["values"] if e["model"] == "tuned")
    (corrected,) = (e for e in entries[CORRECTED]["values"] if e["model"] == "tuned")
    assert (agreement["value"], agreement["low"]) == (1.0, 1.0)
    assert corrected["value"] is None and "chance is 1" in corrected["reason"]

"""How far intervals reach from few clusters: by hand, against t, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from concord.metrics.bootstrap import bootstrap, cluster_units
from concord.metrics.few_clusters import (
    FEWEST_DEGREES,
    Precision,
    precision,
    precision_of_strata,
    stretched,
)
from concord.metrics.intervals import percentile_interval

DRAWS = 1000
SLACK = 3 * np.sqrt(0.95 * 0.05 / DRAWS)
"""Three standard errors of a coverage of 95 % counted over so many draws."""


def strata_of(*sizes: int):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    return cluster_units(strata, np.arange(len(strata)))


def degrees_of(*sizes: int) -> float:
    return precision(np.ones((sum(sizes), 1)), clusters=strata_of(*sizes)).degrees[0]


def test_degrees_are_what_the_clusters_of_all_strata_leave():
    assert degrees_of(9) == pytest.approx(8)
    # 35 strata of 3 leave 2 each
    assert degrees_of(*[3] * 35) == pytest.approx(70)


def test_degrees_of_unlike_strata_worked_by_hand():
    # v = 1/4 (1/2 + 1/10): (.5 + .1)^2 / (.5^2 / 1 + .1^2 / 9)
    assert degrees_of(2, 10) == pytest.approx(0.36 / (0.25 + 0.01 / 9))


def test_only_clusters_that_count_give_degrees():
    denominator = np.array([1.0, 1, 1, 0, 0, 0])[:, None]
    found = precision(denominator, clusters=strata_of(6))
    assert found.degrees[0] == pytest.approx(2)
    assert found.shortfall[0] == 1


def test_a_stratum_of_one_cluster_is_taken_to_vary_like_the_others():
    # v = (1/3)^2 (1/2, 1/2, 1), of which the replicates show the first two
    found = precision(np.ones((5, 1)), clusters=strata_of(2, 2, 1))
    assert found.shortfall[0] == pytest.approx(np.sqrt(2))
    assert found.degrees[0] == pytest.approx(2)


def test_strata_of_one_cluster_alone_leave_no_degrees():
    found = precision(np.ones((7, 1)), clusters=strata_of(*[1] * 7))
    assert found.degrees[0] == 0 and np.isnan(found.reach(0.95)).all()


def test_relations_leave_their_number_less_one():
    denominator = np.array([[1.0, 1], [1, 1], [1, 0]])
    found = precision_of_strata(denominator, strata_of(1, 1, 1))
    np.testing.assert_array_equal(found.degrees, [2, 1])


def test_reach_is_t_over_z_and_none_below_the_fewest_degrees():
    degrees = np.array([FEWEST_DEGREES - 0.1, FEWEST_DEGREES, 1e9])
    found = Precision(degrees, np.ones(3)).reach(0.95)
    assert np.isnan(found[0])
    # t_4 / z = 2.776 / 1.960
    np.testing.assert_allclose(found[1:], [2.776 / 1.960, 1], atol=1e-3)


def test_a_difference_is_no_surer_than_either_side():
    one = Precision(np.array([9.0, 5.0]), np.array([1.0, 1.2]))
    other = Precision(np.array([7.0, 6.0]), np.array([1.1, 1.0]))
    both = one.with_other(other)
    np.testing.assert_array_equal(both.degrees, [7, 5])
    np.testing.assert_array_equal(both.shortfall, [1.1, 1.2])


def test_ends_move_away_from_the_estimate():
    interval = np.array([[1.0], [4.0]])
    found = stretched(interval, np.array([2.0]), np.array([1.5]))
    np.testing.assert_allclose(found[:, 0], [0.5, 5.0])


def test_the_interval_of_a_normal_sample_is_student_s():
    values = np.random.default_rng(1).normal(size=(8, 1))
    ones, clusters = np.ones((8, 1)), strata_of(8)
    drawn = bootstrap(values, ones, clusters=clusters, replicates=100_000)
    reach = precision(ones, clusters=clusters).reach(0.95)
    found = stretched(percentile_interval(drawn.within, 0.95), drawn.estimate, reach)
    expected = stats.t.interval(0.95, 7, values.mean(), stats.sem(values[:, 0]))
    width = expected[1] - expected[0]
    assert found[1, 0] - found[0, 0] == pytest.approx(width, rel=0.05)


@pytest.mark.parametrize(
    "sizes",
    [[6], [8], [20], [3] * 35, [2] * 20, [5, 200], [1] * 20 + [5] * 5],
    ids=lambda sizes: f"{len(sizes)} of {min(sizes)} to {max(sizes)}",
)
def test_intervals_of_few_clusters_hold_the_truth_as_often_as_they_say(sizes):
    clusters, ones = strata_of(*sizes), np.ones((sum(sizes), 1))
    values = np.random.default_rng(sum(sizes)).normal(size=(sum(sizes), DRAWS))
    place = np.zeros(DRAWS, dtype=np.intp)
    drawn = bootstrap(
        values, ones, clusters=clusters, denominator_of=place, replicates=1000
    )
    reach = precision(ones, clusters=clusters).take(place).reach(0.95)
    low, high = stretched(
        percentile_interval(drawn.within, 0.95), drawn.estimate, reach
    )
    coverage = ((low <= 0) & (high >= 0)).mean()
    assert abs(coverage - 0.95) <= SLACK
    # Above 0 on one side only: what a gate would pass, or call more consistent.
    assert (low > 0).mean() <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / DRAWS)


@pytest.mark.parametrize(
    ("relations", "subjects", "between"),
    [(35, 10, 0.0), (35, 30, 0.2), (6, 60, 0.0), (6, 30, 0.3)],
)
def test_intervals_over_relations_hold_the_truth_as_often_as_they_say(
    relations, subjects, between
):
    rng = np.random.default_rng(relations + subjects)
    clusters = strata_of(*[subjects] * relations)
    ones = np.ones((relations * subjects, 1))
    place = np.zeros(DRAWS, dtype=np.intp)
    means = between * rng.normal(size=(relations, DRAWS))
    values = means[clusters.stratum] + rng.normal(size=(len(ones), DRAWS))
    drawn = bootstrap(
        values, ones, clusters=clusters, denominator_of=place, replicates=500
    )
    reach = precision_of_strata(ones, clusters).take(place).reach(0.95)
    low, high = stretched(
        percentile_interval(drawn.across, 0.95), drawn.estimate, reach
    )
    assert abs(((low <= 0) & (high >= 0)).mean() - 0.95) <= SLACK
    # Not wider than it need be: standard deviation of the replicates and of the truth.
    ratio = drawn.across.std(axis=0).mean() / drawn.estimate.std()
    assert ratio == pytest.approx(1, abs=0.1)

"""The resampling engine against closed forms, scipy, and its own laws."""

import numpy as np
import pytest
from scipy import stats

from concord.metrics.bootstrap import (
    bootstrap,
    cluster_units,
    influence,
    stratum_ratios,
)
from concord.metrics.intervals import percentile_interval, standard_error


def one_column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=float)[:, None]


def independent(values: np.ndarray):
    """Each value its own subject, all in one relation."""
    clusters = cluster_units(np.zeros(len(values)), np.arange(len(values)))
    return one_column(values), np.ones((len(values), 1)), clusters


def test_a_label_in_two_strata_is_two_clusters():
    strata = np.array(["P1", "P1", "P2", "P2", "P2"])
    subjects = np.array(["a", "a", "a", "b", "b"])
    clusters = cluster_units(strata, subjects)
    assert len(clusters) == 3
    np.testing.assert_array_equal(clusters.stratum, [0, 1, 1])
    np.testing.assert_array_equal(clusters.unit_count, [2, 3])
    sums = clusters.sums(one_column(np.arange(5)))
    np.testing.assert_array_equal(sums[:, 0], [1, 2, 7])
    assert clusters.count_with(np.array([1, 1, 0, 0, 1], dtype=bool)) == 2
    assert clusters.pool.count_with(np.array([1, 1, 1, 0, 0], dtype=bool)) == 1
    assert clusters.count_with(np.zeros(5, dtype=bool)) == 0


def test_a_subject_of_several_relations_is_drawn_in_all_of_them_at_once():
    # One number for each of 400 subjects, the same in 8 relations: its mean is known no
    # better than from one relation. Relations drawn apart say 1 / sqrt(8) of the error.
    values = np.random.default_rng(0).normal(size=400)
    subjects = np.tile(np.arange(400), 8)
    clusters = cluster_units(np.repeat(np.arange(8), 400), subjects)
    sums = clusters.sums(one_column(values[subjects]))
    design = {"clusters": clusters, "replicates": 4000}
    joint = bootstrap(sums, np.ones_like(sums), is_joint=True, **design)
    apart = bootstrap(sums, np.ones_like(sums), **design)
    error = values.std(ddof=1) / np.sqrt(400)
    assert joint.within.std() == pytest.approx(error, rel=0.04)
    assert apart.within.std() == pytest.approx(error / np.sqrt(8), rel=0.04)
    np.testing.assert_array_equal(joint.estimate, apart.estimate)
    np.testing.assert_array_equal(joint.across, apart.across)


def test_a_joint_draw_has_the_closed_form_error_whatever_the_relations_hold():
    # Relations of other sizes, some subjects in one of them only: the closed form of
    # the influence, summed by subject, is the error of the mean of relation means.
    rng = np.random.default_rng(1)
    subjects = np.concatenate([np.arange(300), np.arange(200, 260)])
    strata = np.repeat([0, 1], [300, 60])
    values = rng.normal(size=300)[subjects] + rng.normal(size=360)
    clusters = cluster_units(strata, subjects)
    top = clusters.sums(one_column(values))
    bottom = np.ones_like(top)
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=8000, is_joint=True)
    moved = clusters.by_subject(influence(top, bottom, clusters=clusters))
    assert moved.shape == (300, 1) and len(clusters) == 360
    closed = standard_error(moved, clusters.pool)
    assert drawn.within.std() == pytest.approx(closed[0], rel=0.05)


def test_clusters_are_summed_by_subject_worked_by_hand():
    strata = np.array(["P1", "P1", "P2", "P2"])
    clusters = cluster_units(strata, np.array(["b", "a", "c", "a"]))
    np.testing.assert_array_equal(clusters.subject, [0, 1, 0, 2])
    sums = clusters.sums(one_column(np.array([1, 2, 4, 8])))
    np.testing.assert_array_equal(clusters.by_subject(sums)[:, 0], [2 + 8, 1, 4])
    np.testing.assert_array_equal(clusters.pool.of_unit, [1, 0, 2, 0])
    np.testing.assert_array_equal(clusters.pool.stratum, [0, 0, 0])


def test_estimate_is_the_mean_of_relation_means_worked_by_hand():
    # relation 0: 1 0 -> 1/2; relation 1: 1 1 1 0 -> 3/4
    strata = np.array([0, 0, 1, 1, 1, 1])
    values = one_column(np.array([1, 0, 1, 1, 1, 0]))
    clusters = cluster_units(strata, np.arange(6))
    sums, ones = clusters.sums(values), np.ones((6, 1))
    macro = bootstrap(sums, ones, clusters=clusters, replicates=10)
    micro = bootstrap(sums, ones, clusters=clusters, weighting="micro", replicates=10)
    assert macro.estimate[0] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert micro.estimate[0] == pytest.approx(4 / 6)


@pytest.mark.parametrize("size", [4, 300])
def test_spread_of_replicates_is_the_closed_form_standard_error(size: int):
    values = np.random.default_rng(0).exponential(size=size)
    top, bottom, clusters = independent(values)
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=8000)
    # With 4 clusters, 4 draws of 4 would give .87 of it.
    expected = values.std(ddof=1) / np.sqrt(size)
    assert drawn.within[:, 0].std() == pytest.approx(expected, rel=0.03)
    closed = standard_error(influence(top, bottom, clusters=clusters), clusters)
    assert closed[0] == pytest.approx(expected)


def test_interval_of_a_share_is_the_binomial_one():
    values = (np.arange(400) < 120).astype(float)
    top, bottom, clusters = independent(values)
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=8000)
    low, high = percentile_interval(drawn.within, 0.95)[:, 0]
    exact = stats.binom(400, 0.3).ppf([0.025, 0.975]) / 400
    np.testing.assert_allclose([low, high], exact, atol=0.006)


def test_interval_agrees_with_scipy_on_independent_data():
    values = np.random.default_rng(1).normal(size=200)
    top, bottom, clusters = independent(values)
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=8000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=8000, method="percentile", rng=2
    ).confidence_interval
    found = percentile_interval(drawn.within, 0.95)[:, 0]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_strata_add_their_variances_with_equal_weight():
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1, 2], [50, 100, 400])
    values = rng.normal(size=550) * (1 + strata)
    clusters = cluster_units(strata, np.arange(550))
    sums, ones = clusters.sums(one_column(values)), np.ones((550, 1))
    variances = [
        values[strata == s].var(ddof=1) / (strata == s).sum() for s in range(3)
    ]
    drawn = bootstrap(sums, ones, clusters=clusters, replicates=8000)
    assert drawn.within[:, 0].var() == pytest.approx(sum(variances) / 9, rel=0.05)
    moved = influence(sums, ones, clusters=clusters)
    assert standard_error(moved, clusters)[0] ** 2 == pytest.approx(
        sum(values[strata == s].var(ddof=1) / (strata == s).sum() for s in range(3)) / 9
    )


def test_units_of_one_cluster_are_drawn_together():
    # Ten copies of each value say no more than one: the interval is as wide.
    values = np.random.default_rng(4).normal(size=60)
    once = bootstrap(*independent(values)[:2], clusters=independent(values)[2])
    clusters = cluster_units(np.zeros(600), np.repeat(np.arange(60), 10))
    copies = clusters.sums(one_column(np.repeat(values, 10)))
    drawn = bootstrap(copies, np.full((60, 1), 10.0), clusters=clusters)
    np.testing.assert_allclose(drawn.within, once.within)


def test_drawing_relations_too_adds_the_variance_between_them():
    strata = np.repeat(np.arange(40), 50)
    rng = np.random.default_rng(5)
    means = rng.normal(size=40)
    values = means[strata] + 0.01 * rng.normal(size=2000)
    clusters = cluster_units(strata, np.arange(2000))
    drawn = bootstrap(
        clusters.sums(one_column(values)), np.ones((2000, 1)), clusters=clusters
    )
    assert drawn.across[:, 0].std() == pytest.approx(means.std() / np.sqrt(40), rel=0.1)
    assert drawn.within[:, 0].std() < drawn.across[:, 0].std() / 100


def test_one_relation_cannot_be_drawn():
    top, bottom, clusters = independent(np.arange(9.0))
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=10)
    assert np.isnan(drawn.across).all()


def test_columns_share_their_resamples_and_do_not_change_one_another():
    rng = np.random.default_rng(6)
    clusters = cluster_units(np.repeat([0, 1], 40), np.arange(80))
    values, ones = rng.random((80, 3)), np.ones((80, 3))
    values[:, 1] = values[:, 0]
    together = bootstrap(values, ones, clusters=clusters, replicates=200, seed=7)
    alone = bootstrap(
        values[:, 2:], ones[:, 2:], clusters=clusters, replicates=200, seed=7
    )
    np.testing.assert_array_equal(together.within[:, 0], together.within[:, 1])
    np.testing.assert_allclose(together.within[:, 2:], alone.within)


def test_denominators_that_differ_between_columns_are_kept_apart():
    # Column 1 counts the first half only.
    values = np.arange(20.0)
    half = (values < 10).astype(float)
    top = np.stack([values, values * half], axis=1)
    bottom = np.stack([np.ones(20), half], axis=1)
    clusters = cluster_units(np.zeros(20), np.arange(20))
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=500)
    np.testing.assert_allclose(drawn.estimate, [9.5, 4.5])
    assert np.nanmax(drawn.within[:, 1]) <= 9


def test_a_relation_without_units_is_left_out_of_the_mean():
    clusters = cluster_units(np.array([0, 0, 1, 1]), np.arange(4))
    top = one_column(np.array([1.0, 0.0, 0.0, 0.0]))
    bottom = one_column(np.array([1.0, 1.0, 0.0, 0.0]))
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=50)
    assert drawn.estimate[0] == pytest.approx(0.5)
    assert np.isnan(stratum_ratios(top, bottom, clusters)[1, 0])
    assert influence(top, bottom, clusters=clusters)[2:].sum() == 0


def test_nothing_measured_has_no_estimate():
    top, _, clusters = independent(np.zeros(5))
    drawn = bootstrap(top, np.zeros((5, 1)), clusters=clusters, replicates=5)
    assert np.isnan(drawn.estimate).all() and np.isnan(drawn.within).all()


def test_influence_predicts_a_ratio_without_one_cluster():
    rng = np.random.default_rng(8)
    top, bottom = rng.random((500, 1)), rng.random((500, 1)) + 0.5
    clusters = cluster_units(np.zeros(500), np.arange(500))
    moved = influence(top, bottom, clusters=clusters)
    assert moved.sum() == pytest.approx(0, abs=1e-12)
    without = (top.sum() - top[0, 0]) / (bottom.sum() - bottom[0, 0])
    change = top.sum() / bottom.sum() - without
    assert moved[0, 0] == pytest.approx(change, rel=0.01)


def test_row_order_moves_no_estimate_and_no_spread():
    rng = np.random.default_rng(9)
    strata, values = rng.integers(4, size=200), rng.random(200)
    order = rng.permutation(200)
    found = []
    for rows in (np.arange(200), order):
        clusters = cluster_units(strata[rows], rows)
        sums = clusters.sums(one_column(values[rows]))
        drawn = bootstrap(sums, np.ones((200, 1)), clusters=clusters)
        found.append(np.append(drawn.within, drawn.estimate))
    np.testing.assert_allclose(*found)


def test_macro_interval_covers_the_truth_as_often_as_it_says():
    # 300 samples of two relations with subjects of three correlated facts each.
    rng = np.random.default_rng(10)
    strata = np.repeat([0, 1], [90, 180])
    subjects = np.repeat(np.arange(90), 3)
    clusters = cluster_units(strata, subjects)
    truth, hits = (0.3 + 0.7) / 2, 0
    chance = np.where(strata == 0, 0.3, 0.7)
    for sample in range(300):
        # A shared draw per subject correlates its facts.
        subject = rng.random(90)[subjects]
        own = rng.random(270)
        shares = rng.random(90)[subjects] < 0.7
        values = np.where(shares, subject, own) < chance
        drawn = bootstrap(
            clusters.sums(one_column(values)),
            clusters.sums(np.ones((270, 1))),
            clusters=clusters,
            replicates=400,
            seed=sample,
        )
        low, high = percentile_interval(drawn.within, 0.95)[:, 0]
        hits += low <= truth <= high
    assert 0.90 <= hits / 300 <= 0.98

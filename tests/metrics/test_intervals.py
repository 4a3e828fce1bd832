"""Intervals against scipy, closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats

from concord.metrics.bootstrap import bootstrap, cluster_units, influence
from concord.metrics.few_clusters import precision
from concord.metrics.intervals import (
    bca_interval,
    percentile_interval,
    simultaneous_band,
    standard_error,
)


def test_percentiles_worked_by_hand():
    # 0, 1, ..., 100: the middle 90 %
    replicates = np.arange(101.0)[:, None]
    np.testing.assert_allclose(percentile_interval(replicates, 0.9)[:, 0], [5, 95])


def test_few_missing_replicates_are_left_out_and_many_leave_no_interval():
    replicates = np.tile(np.arange(100.0)[:, None], (1, 2))
    replicates[:3, 0] = np.nan
    replicates[:9, 1] = np.nan
    found = percentile_interval(replicates, 0.9)
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()


def test_bca_agrees_with_scipy_on_skewed_data():
    values = np.random.default_rng(0).lognormal(size=80)
    clusters = cluster_units(np.zeros(80), np.arange(80))
    top, bottom = values[:, None], np.ones((80, 1))
    drawn = bootstrap(top, bottom, clusters=clusters, replicates=10_000)
    moved = influence(top, bottom, clusters=clusters)
    found = bca_interval(drawn.within, drawn.estimate, moved, 0.95)[:, 0]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="BCa", rng=1
    ).confidence_interval
    np.testing.assert_allclose(found, expected, atol=0.04)
    plain = percentile_interval(drawn.within, 0.95)[:, 0]
    assert found[0] > plain[0] and found[1] > plain[1]


def test_bca_of_constant_replicates_is_the_constant():
    found = bca_interval(np.full((50, 1), 2.0), np.array([2.0]), np.zeros((4, 1)), 0.95)
    np.testing.assert_array_equal(found[:, 0], [2.0, 2.0])


def test_bca_leaves_out_few_missing_replicates_as_percentiles_do():
    replicates = np.random.default_rng(6).normal(size=(1000, 2))
    moved = np.random.default_rng(7).normal(size=(30, 2))
    whole = bca_interval(replicates, np.zeros(2), moved, 0.95)
    replicates[3, 0] = np.nan
    replicates[:60, 1] = np.nan
    found = bca_interval(replicates, np.zeros(2), moved, 0.95)
    np.testing.assert_allclose(found[:, 0], whole[:, 0], atol=0.05)
    assert np.isnan(found[:, 1]).all()


def test_band_is_wider_than_the_pointwise_interval_and_one_point_needs_no_more():
    rng = np.random.default_rng(2)
    replicates = rng.normal(size=(20_000, 12))
    low, high = simultaneous_band(replicates, np.zeros(12), 0.95)
    # Twelve independent normals: the quantile of the largest |z|.
    reach = stats.norm.ppf((1 + 0.95 ** (1 / 12)) / 2)
    np.testing.assert_allclose(high, reach, rtol=0.03)
    np.testing.assert_allclose(low, -reach, rtol=0.03)
    single = simultaneous_band(replicates[:, :1], np.zeros(1), 0.95)
    assert single[1, 0] == pytest.approx(1.96, rel=0.03)


def test_band_holds_a_whole_curve_as_often_as_it_says():
    rng = np.random.default_rng(3)
    clusters = cluster_units(np.zeros(60), np.arange(60))
    hits = 0
    for sample in range(300):
        curve = rng.normal(size=(60, 1)) + rng.normal(size=(60, 8))
        drawn = bootstrap(
            curve, np.ones((60, 8)), clusters=clusters, replicates=400, seed=sample
        )
        low, high = simultaneous_band(drawn.within, drawn.estimate, 0.95)
        hits += bool(((low <= 0) & (high >= 0)).all())
    assert 0.90 <= hits / 300 <= 0.98


@pytest.mark.parametrize("count", [8, 12, 20])
def test_a_band_of_few_clusters_holds_the_curve_nine_times_in_ten(count):
    """Over 33 layers; stretched as an interval is it held .70 of curves of eight."""
    rng = np.random.default_rng(count)
    clusters = cluster_units(np.zeros(count), np.arange(count))
    found = precision(np.ones((count, 33)), clusters=clusters)
    one, hits = np.zeros(33, int), 0
    for sample in range(300):
        drawn = bootstrap(
            rng.normal(size=(count, 33)),
            np.ones((count, 1)),
            clusters=clusters,
            denominator_of=one,
            replicates=400,
            seed=sample,
        )
        low, high = simultaneous_band(drawn.within, drawn.estimate, 0.95, found)
        hits += bool(((low <= 0) & (high >= 0)).all())
    # Two standard errors below .90.
    assert 0.865 <= hits / 300 <= 0.98


def test_a_band_of_one_layer_reaches_as_far_as_its_interval():
    clusters = cluster_units(np.zeros(12), np.arange(12))
    found = precision(np.ones((12, 1)), clusters=clusters)
    replicates = np.random.default_rng(8).normal(size=(20_000, 1))
    band = simultaneous_band(replicates, np.zeros(1), 0.95, found)
    assert band[1, 0] == pytest.approx(stats.t.ppf(0.975, 11), rel=0.03)


def test_a_point_that_never_varies_has_a_band_of_no_width():
    replicates = np.stack([np.ones(100), np.arange(100.0)], axis=1)
    low, high = simultaneous_band(replicates, np.array([1.0, 49.5]), 0.95)
    assert low[0] == high[0] == 1.0


def test_a_replicate_without_a_layer_costs_no_layer_its_band():
    replicates = np.random.default_rng(4).normal(size=(1000, 3))
    whole = simultaneous_band(replicates, np.zeros(3), 0.95)
    replicates[3, 1] = np.nan
    found = simultaneous_band(replicates, np.zeros(3), 0.95)
    np.testing.assert_allclose(found, whole, rtol=0.02)


def test_a_layer_that_is_mostly_missing_has_no_band_and_costs_the_others_none():
    replicates = np.random.default_rng(5).normal(size=(1000, 3))
    others = simultaneous_band(replicates[:, [0, 2]], np.zeros(2), 0.95)
    replicates[:60, 1] = np.nan
    found = simultaneous_band(replicates, np.zeros(3), 0.95)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_array_equal(found[:, [0, 2]], others)


def test_one_cluster_has_no_standard_error():
    clusters = cluster_units(np.array([0, 1]), np.array([0, 0]))
    assert np.isnan(standard_error(np.zeros((2, 1)), clusters)).all()

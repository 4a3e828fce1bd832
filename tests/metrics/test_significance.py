"""Tests of differences: counted by hand, against scipy, and under the null."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from concord.metrics.bootstrap import cluster_units
from concord.metrics.significance import (
    MOST_GROUPS,
    adjust_p,
    benjamini_hochberg,
    holm,
    is_equivalent,
    is_not_worse,
    is_worse,
    mcnemar_p,
    paired_contributions,
    sign_flip_p,
    verdict,
)


def test_exact_sign_flips_counted_by_hand():
    # 1 + 2 + 3 = 6: only +++ and --- reach 6 of 8 patterns
    assert sign_flip_p(np.array([[1.0], [2.0], [3.0]]))[0] == pytest.approx(2 / 8)


def test_exact_sign_flips_equal_a_count_of_all_patterns():
    differences = np.random.default_rng(0).normal(0.4, 1, size=(9, 2))
    signs = np.array(list(product([1, -1], repeat=9)))
    sums = np.abs(signs @ differences)
    expected = (sums >= np.abs(differences.sum(axis=0)) - 1e-12).mean(axis=0)
    np.testing.assert_allclose(sign_flip_p(differences), expected)


def test_drawn_sign_flips_agree_with_scipy():
    differences = np.random.default_rng(1).normal(0.25, 1, size=60)
    expected = stats.permutation_test(
        (differences, np.zeros(60)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        n_resamples=10_000,
        vectorized=True,
        rng=2,
    ).pvalue
    found = sign_flip_p(differences[:, None])[0]
    assert found == pytest.approx(expected, abs=0.015)


def test_drawn_p_values_are_never_zero():
    p_values = sign_flip_p(np.ones((50, 1)), permutations=999)
    assert p_values[0] == pytest.approx(1 / 1000)


def test_no_difference_at_all_has_p_one():
    assert sign_flip_p(np.zeros((40, 1)))[0] == 1.0
    assert sign_flip_p(np.zeros((4, 1)))[0] == 1.0


def test_sign_flips_ignore_direction_and_scale():
    differences = np.random.default_rng(3).normal(0.3, 1, size=(50, 1))
    expected = sign_flip_p(differences)
    np.testing.assert_array_equal(sign_flip_p(-differences), expected)
    np.testing.assert_array_equal(sign_flip_p(1e-6 * differences), expected)


def test_without_clusters_there_is_no_p():
    assert np.isnan(sign_flip_p(np.zeros((0, 2)))).all()


def test_p_values_under_the_null_are_uniform():
    differences = np.random.default_rng(4).normal(size=(80, 400))
    p_values = sign_flip_p(differences, permutations=2000)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_contributions_of_a_mean_are_the_weighted_differences_themselves():
    # relation 0 has two subjects, relation 1 one: weights 1/4, 1/4, 1/2
    clusters = cluster_units(np.array([0, 0, 1]), np.arange(3))
    base, tuned = np.array([[0.0], [1], [0.5]]), np.array([[1.0], [1], [1.0]])
    ones = np.ones((3, 1))
    found = paired_contributions((base, tuned), (ones, ones), clusters=clusters)
    np.testing.assert_allclose(found[:, 0], [1 / 4, 0, 1 / 4])


def test_contributions_of_ratios_add_up_to_their_difference():
    rng = np.random.default_rng(5)
    clusters = cluster_units(np.repeat([0, 1], 10), np.arange(20))
    tops = (rng.random((20, 1)), rng.random((20, 1)))
    bottoms = (rng.random((20, 1)) + 1, rng.random((20, 1)) + 1)
    found = paired_contributions(tops, bottoms, clusters=clusters).sum()
    means = [
        np.mean([top[s].sum() / bottom[s].sum() for s in (slice(10), slice(10, 20))])
        for top, bottom in zip(tops, bottoms, strict=True)
    ]
    assert found == pytest.approx(means[1] - means[0])


def test_mcnemar_worked_by_hand():
    # One gained, five lost: 2 (C(6,0) + C(6,1)) / 2^6 = 14/64
    before = np.array([0, 1, 1, 1, 1, 1, 1, 0], dtype=bool)
    after = np.array([1, 0, 0, 0, 0, 0, 1, 0], dtype=bool)
    assert mcnemar_p(before, after) == pytest.approx(14 / 64)
    assert mcnemar_p(after, before) == pytest.approx(14 / 64)
    assert mcnemar_p(before, before) == 1.0


def test_holm_worked_by_hand():
    # .01 * 3, then max(.03, .02 * 2), then max(.04, .04 * 1)
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.02])), [0.04, 0.03, 0.04])


def test_benjamini_hochberg_agrees_with_scipy():
    p_values = np.random.default_rng(6).random(20) ** 2
    np.testing.assert_allclose(
        benjamini_hochberg(p_values), stats.false_discovery_control(p_values)
    )


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_missing_p_value_is_no_test(adjust):
    p_values = np.array([0.01, np.nan, 0.03])
    found = adjust(p_values)
    np.testing.assert_allclose(found[[0, 2]], adjust(p_values[[0, 2]]))
    assert np.isnan(found[1])


def test_p_values_are_adjusted_by_the_method_asked():
    # Holm: .01 * 3, .02 * 2, .04 * 1, none below the one before;
    # Benjamini-Hochberg: .01 * 3 / 1, .02 * 3 / 2, .04 * 3 / 3, none above the next
    p_values = np.array([0.04, 0.01, 0.02])
    np.testing.assert_allclose(adjust_p(p_values, "holm"), [0.04, 0.03, 0.04])
    found = adjust_p(p_values, "benjamini_hochberg")
    np.testing.assert_allclose(found, [0.04, 0.03, 0.03])


def test_equivalence_needs_the_whole_interval_inside():
    assert is_equivalent(-0.009, 0.004, 0.01)
    assert not is_equivalent(-0.011, 0.004, 0.01)


def test_non_inferiority_looks_at_one_side():
    assert is_not_worse(-0.005, 0.5, 0.01, "higher")
    assert not is_not_worse(-0.02, 0.5, 0.01, "higher")
    assert is_not_worse(-0.5, 0.005, 0.01, "lower")
    assert not is_not_worse(-0.5, 0.02, 0.01, "lower")


def test_a_loss_of_just_the_margin_is_tolerated():
    assert is_not_worse(0.0, 0.0, 0.0, "higher") and is_not_worse(
        0.0, 0.0, 0.0, "lower"
    )
    assert not is_not_worse(-0.001, 0.0, 0.0, "higher")
    # .29 - .30 is -.010000000000000009
    lost = 0.29 - 0.30
    assert lost < -0.01
    assert is_not_worse(lost, lost, 0.01, "higher")
    assert not is_worse(lost, lost, 0.01, "higher")
    assert not is_worse(-lost, -lost, 0.01, "lower")


def test_a_loss_is_real_when_the_whole_interval_lies_beyond_it():
    assert is_worse(-0.05, -0.02, 0.01, "higher")
    assert not is_worse(-0.05, -0.005, 0.01, "higher")
    assert is_worse(0.02, 0.05, 0.01, "lower")


@pytest.mark.parametrize(
    ("interval", "margin", "expected"),
    [
        ((0.01, 0.05), None, "more consistent"),
        ((-0.05, -0.01), None, "less consistent"),
        ((-0.01, 0.05), None, "no difference seen"),
        ((0.001, 0.005), 0.01, "same within 0.01"),
        ((0.001, 0.05), 0.01, "more consistent"),
        ((np.nan, np.nan), 0.01, None),
    ],
)
def test_verdict(interval, margin, expected):
    assert verdict(interval, interval, margin=margin) == expected


def test_a_difference_that_is_not_significant_is_not_claimed():
    """The interval excludes 0, the p-value adjusted for all models does not."""
    interval = (-0.034, -0.001)
    assert verdict(interval, interval) == "less consistent"
    assert verdict(interval, interval, is_significant=False) == "no difference seen"
    same = verdict(
        (-0.004, -0.001), (-0.004, -0.001), margin=0.01, is_significant=False
    )
    assert same == "same within 0.01"


def test_many_clusters_change_sides_in_groups_with_nearly_the_same_p():
    rng = np.random.default_rng(6)
    columns = rng.normal(size=(3 * MOST_GROUPS + 7, 6))
    columns += np.linspace(0, 3, 6) / np.sqrt(len(columns))  # z from about 0 to 3
    z = columns.sum(axis=0) / np.sqrt(np.square(columns).sum(axis=0))
    p_values = sign_flip_p(columns)
    np.testing.assert_allclose(p_values, 2 * stats.norm.sf(np.abs(z)), atol=0.03)
    np.testing.assert_array_equal(p_values, sign_flip_p(columns))
    assert sign_flip_p(np.zeros((MOST_GROUPS + 1, 1)))[0] == 1


def test_groups_keep_the_rate_of_false_findings():
    rng = np.random.default_rng(7)
    null = rng.standard_t(3, size=(MOST_GROUPS + 900, 400))
    share = (sign_flip_p(null, permutations=1000) <= 0.05).mean()
    assert 0.025 <= share <= 0.08  # 400 draws of a rate of 0.05: two standard errors

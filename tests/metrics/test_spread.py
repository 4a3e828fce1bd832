"""Spread over settings, worked by hand, and what noise alone gives."""

import numpy as np
import pytest

from concord.metrics.bootstrap import cluster_units
from concord.metrics.spread import (
    accuracy_by_setting,
    estimate_spread,
    spread_over_instructions,
    spread_over_orders,
    spread_over_settings,
)

# instructions down, orders across
ACCURACY = np.array([[50.0, 40.0], [53.0, 47.0], [51.0, 45.0]])


def test_three_spreads_worked_by_hand():
    # over instructions: 53 - 50 = 3 and 47 - 40 = 7 -> 5; all: 53 - 40 = 13
    # over orders: 10, 6, 6 -> 22 / 3
    assert spread_over_instructions(ACCURACY) == pytest.approx(5)
    assert spread_over_settings(ACCURACY) == pytest.approx(13)
    assert spread_over_orders(ACCURACY) == pytest.approx(22 / 3)


def test_spread_of_all_settings_is_at_least_the_others():
    accuracy = np.random.default_rng(0).random((50, 3, 3))
    whole = spread_over_settings(accuracy)
    assert (whole >= spread_over_instructions(accuracy)).all()
    assert (whole >= spread_over_orders(accuracy)).all()


def test_exchanging_instructions_and_orders_exchanges_their_spreads():
    assert spread_over_orders(ACCURACY.T) == pytest.approx(
        spread_over_instructions(ACCURACY)
    )


def test_accuracy_by_setting_is_in_percent():
    right = np.array([[[True, False]], [[True, True]]])
    np.testing.assert_array_equal(accuracy_by_setting(right), [[100.0, 50.0]])


def test_equal_settings_do_not_exceed_their_noise():
    right = np.random.default_rng(1).random((400, 3, 3)) < 0.4
    found = estimate_spread(right, spread_over_settings, replicates=500)
    assert found.value > 0
    assert found.expected == pytest.approx(found.value, abs=4)
    assert not found.exceeds_noise


def test_a_worse_setting_exceeds_noise():
    chance = np.full((3, 3), 0.5)
    chance[0] = 0.35
    right = np.random.default_rng(2).random((400, 3, 3)) < chance
    found = estimate_spread(right, replicates=500)
    assert found.exceeds_noise
    assert found.low < 15 < found.high


def test_expected_spread_under_equal_accuracy_by_closed_form():
    # Two settings, each question right in exactly one: the difference of their
    # accuracies is 100 times a mean of n signs, of mean size sqrt(2 / (pi n)).
    right = np.zeros((500, 2, 1), dtype=bool)
    right[:, 0] = True
    found = estimate_spread(right, replicates=4000)
    assert found.value == pytest.approx(100)
    assert found.expected == pytest.approx(100 * np.sqrt(2 / (np.pi * 500)), rel=0.05)


def test_a_model_that_never_changes_has_no_spread():
    right = np.repeat(np.random.default_rng(3).random((50, 1, 1)) < 0.3, 9, axis=1)
    found = estimate_spread(right.reshape(50, 3, 3), replicates=100)
    assert (found.value, found.low, found.high, found.expected) == (0, 0, 0, 0)


def test_one_setting_cannot_spread():
    with pytest.raises(ValueError, match="2 or more settings"):
        estimate_spread(np.ones((5, 1, 1), dtype=bool))


def test_no_questions_have_no_spread():
    assert np.isnan(estimate_spread(np.ones((0, 3, 3), dtype=bool)).value)


def test_listing_choices_of_settings_gives_what_exchanging_each_question_gives(
    monkeypatch: pytest.MonkeyPatch,
):
    """Two ways to draw one distribution: means and tails within Monte-Carlo error."""
    is_right = np.random.default_rng(1).random((60, 3, 2)) < 0.6
    listed = estimate_spread(is_right, spread_over_settings, seed=2)
    monkeypatch.setattr("concord.metrics.spread._MOST_SUBSETS", 0)
    exchanged = estimate_spread(is_right, spread_over_settings, seed=3)
    # Standard deviation of a spread here is about 4 points, over 2,000 draws: 0.1.
    assert listed.expected == pytest.approx(exchanged.expected, abs=0.5)
    assert listed.expected_high == pytest.approx(exchanged.expected_high, abs=1.7)


def test_what_the_order_does_is_no_noise_of_the_instructions():
    # Always the letter B: right in one order of three, whatever the instruction.
    right = np.zeros((90, 3, 3), dtype=bool)
    right[:30, :, 0] = right[30:60, :, 1] = right[60:, :, 2] = True
    found = estimate_spread(right, spread_over_instructions, replicates=300)
    assert (found.value, found.expected, found.expected_high) == (0, 0, 0)
    found = estimate_spread(right, spread_over_orders, replicates=300)
    assert found.expected > 0


def test_exchanged_instructions_equal_a_plain_loop():
    rng = np.random.default_rng(4)
    right = rng.random((40, 3, 2)) < 0.5
    found = estimate_spread(right, spread_over_instructions, replicates=4000, seed=1)
    slow = []
    for _ in range(4000):
        moved = np.stack([own[rng.permutation(3)] for own in right])
        slow.append(spread_over_instructions(accuracy_by_setting(moved)))
    # A spread's standard deviation is about 5 points: .08 over 4,000 draws.
    assert found.expected == pytest.approx(np.mean(slow), abs=0.4)
    assert found.expected_high == pytest.approx(np.quantile(slow, 0.95), abs=1.3)


@pytest.mark.parametrize(
    "spread", [spread_over_instructions, spread_over_orders, spread_over_settings]
)
def test_like_questions_of_equal_settings_seldom_exceed_their_noise(spread):
    """Ten questions of a cluster are answered as one: 30 answers, not 300."""
    rng = np.random.default_rng(5)
    clusters = cluster_units(np.zeros(300), np.repeat(np.arange(30), 10))
    exceeding = 0
    for seed in range(100):
        right = rng.random((30, 3, 3)) < rng.random((30, 1, 1))
        found = estimate_spread(
            np.repeat(right, 10, axis=0),
            spread,
            clusters=clusters,
            replicates=200,
            seed=seed,
        )
        exceeding += found.exceeds_noise
    # At most 5 % of 100, and three standard errors.
    assert exceeding <= 11


def test_copies_of_questions_leave_estimates_as_they_are():
    right = np.random.default_rng(6).random((50, 3, 2)) < 0.5
    clusters = cluster_units(np.zeros(150), np.repeat(np.arange(50), 3))
    for spread in (spread_over_instructions, spread_over_settings):
        once = estimate_spread(right, spread, replicates=4000)
        thrice = estimate_spread(
            np.repeat(right, 3, axis=0), spread, clusters=clusters, replicates=4000
        )
        assert thrice.value == pytest.approx(once.value)
        # A spread's standard deviation is about 4 points: .06 over 4,000 draws.
        assert thrice.expected == pytest.approx(once.expected, abs=0.3)
        assert thrice.expected_high == pytest.approx(once.expected_high, abs=1.3)
        assert thrice.low == pytest.approx(once.low, abs=1.3)


def test_a_spread_at_its_bound_does_not_exceed_it_by_rounding():
    right = np.random.default_rng(21).random((11, 3, 1)) < 0.5
    found = estimate_spread(right, replicates=300)
    assert found.value == pytest.approx(found.expected_high, abs=1e-9)
    assert found.value > found.expected_high
    assert not found.exceeds_noise

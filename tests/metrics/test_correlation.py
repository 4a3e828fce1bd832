"""Correlation across models, against scipy and the study's published numbers."""

import csv

import numpy as np
import pytest
from scipy import stats

from concord.metrics.correlation import (
    correlation_interval,
    partial_correlation,
    pearson,
    permutation_p,
    spearman,
)
from concord.metrics.significance import benjamini_hochberg, holm


def published(shared, name: str) -> list[dict[str, str]]:
    path = shared / "spec" / "published" / name
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tuned_column(rows, column: str, **fixed: str) -> np.ndarray:
    """A column over the ten tuned LLaMA models, in the order of their names."""
    kept = {
        row["model"]: float(row[column])
        for row in rows
        if row["family"] == "llama"
        and row["kind"] == "tuned"
        and all(row[name] == value for name, value in fixed.items())
    }
    assert len(kept) == 10
    return np.array([kept[name] for name in sorted(kept)])


def published_p(r: np.ndarray) -> np.ndarray:
    """Under normality, of the 64 tests made; those not published have none below 1."""
    statistic = np.abs(r) * np.sqrt((10 - 2) / (1 - r**2))
    return np.concatenate([2 * stats.t.sf(statistic, 10 - 2), np.ones(64 - len(r))])


def test_pearson_and_spearman_agree_with_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0], [0.1, 0.1, 0.1, 0.1, 0.1]])
def test_too_few_models_or_no_variation_has_no_correlation(x):
    x, y = np.array(x), np.arange(len(x)) * 1.0
    assert np.isnan(pearson(x, y))
    assert np.isnan(permutation_p(x, y))
    assert np.isnan(correlation_interval(x, y)).all()


def test_permutation_p_is_the_share_of_pairings_counted():
    # Of the 24 orders of 1 2 3 4 only two have |r| = 1.
    x = np.arange(4.0)
    assert permutation_p(x, x, permutations=20_000) == pytest.approx(2 / 24, abs=0.01)


def test_interval_holds_r_and_narrows_with_more_models():
    rng = np.random.default_rng(2)
    widths = []
    for count in (10, 200):
        x = rng.normal(size=count)
        y = x + rng.normal(size=count)
        low, high = correlation_interval(x, y)
        assert low <= pearson(x, y) <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_interval_of_ranks_is_that_of_any_rising_measure():
    x, y = np.random.default_rng(4).normal(size=(2, 10))
    found = correlation_interval(x, y, of_ranks=True)
    assert found == correlation_interval(np.exp(x), y**3, of_ranks=True)
    assert found[0] <= spearman(x, y) <= found[1]
    drawn = np.random.default_rng(0).integers(10, size=(2000, 10))
    slow = [stats.spearmanr(x[row], y[row]).statistic for row in drawn]
    np.testing.assert_allclose(found, np.nanquantile(slow, [0.025, 0.975]))


def test_permutation_p_of_ranks_is_that_of_any_rising_measure():
    x, y = np.random.default_rng(5).normal(size=(2, 10))
    ranks = stats.rankdata(x), stats.rankdata(y)
    found = permutation_p(*ranks)
    assert found == permutation_p(stats.rankdata(np.exp(x)), ranks[1])
    assert found == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.03)


def test_partial_correlation_is_that_of_residuals():
    x, y, z = np.random.default_rng(3).normal(size=(3, 30))
    x, y = x + z, y + z
    residuals = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    assert partial_correlation(x, y, z) == pytest.approx(
        stats.pearsonr(*residuals).statistic
    )
    assert np.isnan(partial_correlation(x, y, x))


def test_published_table_7_after_holm_over_64_tests(shared):
    rows = published(shared, "table7.csv")
    r = np.array([float(row["pearson_r"]) for row in rows])
    adjusted = holm(published_p(r))[: len(r)]
    names = [f"{row['sublayer']} {row['layer']}" for row in rows]
    found = dict(zip(names, adjusted, strict=True))
    expected = {
        "mlp 19": 0.004,
        "mhsa 19": 0.008,
        "mlp 20": 0.013,
        "mlp 18": 0.058,
        "mhsa 13": 0.11,
        "mlp 27": 0.22,
        "mhsa 16": 0.60,
        "mhsa 14": 0.71,
        "mlp 22": 0.77,
        "mhsa 18": 0.87,
        "mhsa 20": 1,
        "mlp 21": 1,
        "mhsa 21": 1,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.05, abs=0.0005), name
    assert (adjusted < 0.05).sum() == 3


def test_published_table_7_after_benjamini_hochberg_keeps_six(shared):
    r = np.array([float(row["pearson_r"]) for row in published(shared, "table7.csv")])
    assert (benjamini_hochberg(published_p(r)) < 0.05).sum() == 6


def test_published_correlations_over_the_ten_tuned_models(shared):
    table1, table2 = published(shared, "table1.csv"), published(shared, "table2.csv")
    agreement = tuned_column(table2, "percent", measure="pararel_agreement")
    accuracy = tuned_column(table2, "percent", measure="pararel_accuracy")
    gap = tuned_column(table1, "gap", dataset="pararel")
    mmlu = tuned_column(table2, "percent", measure="mmlu_accuracy")
    spread = tuned_column(table2, "percent", measure="mmlu_spread")
    assert pearson(gap, agreement) == pytest.approx(0.10, abs=0.005)
    assert pearson(accuracy, agreement) == pytest.approx(0.75, abs=0.005)
    assert pearson(mmlu, spread) == pytest.approx(-0.76, abs=0.005)

"""PromptSensiScore against its definition and against published accuracies."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from concord.metrics.format_spread import format_spread
from concord.metrics.prompt_sensi_score import prompt_sensi_score


def test_two_of_five_right_worked_by_hand():
    # 2 k (n - k) / (n (n - 1)) with k = 2, n = 5: 12 / 20.
    scores = np.array([[1.0], [0.0], [0.0], [1.0], [0.0]])
    assert prompt_sensi_score(scores)[0] == pytest.approx(0.6)


def test_scores_between_zero_and_one():
    # |.2 - .5| + |.2 - 1| + |.5 - 1| = .3 + .8 + .5, over 3 pairs.
    scores = np.array([[0.2], [1.0], [0.5]])
    assert prompt_sensi_score(scores)[0] == pytest.approx(1.6 / 3)


def test_one_wording_has_no_pair():
    assert np.isnan(prompt_sensi_score(np.array([[1.0]]))[0])


def published_accuracies(shared: Path, task: str) -> dict[str, list[float]]:
    """Model -> accuracy under each wording that a person judged right."""
    folder = shared / "data" / "prompt_paraphrases"
    wordings = _rows(folder / "LMentry" / f"{task}.csv")
    accuracies = _rows(folder / "accuracies_LMentry" / f"{task}.csv")
    kept = [row["correct"] == "1" for row in wordings]
    models = [name for name in accuracies[0] if name.endswith("_acc")]
    return {
        model: [
            float(row[model])
            for row, keep in zip(accuracies, kept, strict=True)
            if keep
        ]
        for model in models
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("task", ["rhyming_word", "less_letters"])
def test_published_accuracies_of_reworded_instructions(shared: Path, task: str):
    """Sorting gives what comparing every pair of wordings gives, for every model."""
    found = published_accuracies(shared, task)
    assert len(found) == 16
    scores = np.array(list(found.values())).T
    assert len(scores) > 100
    fast = prompt_sensi_score(scores)
    for place, own in enumerate(found.values()):
        pairs = [abs(a - b) for a, b in combinations(own, 2)]
        assert fast[place] == pytest.approx(sum(pairs) / len(pairs))
        assert format_spread(np.array(own)) == pytest.approx(sorted(own)[-1] - min(own))
        # No two wordings can differ by more, on average, than half the range allows.
        assert fast[place] <= format_spread(np.array(own))

"""Choices and fine-tuned classifiers end to end, from study to report."""

from pathlib import Path
from typing import Any

import pytest
from test_real_data import example

from concord.compare import compare
from concord.organism import shipped_world
from concord.organism.entailment import write_entailment
from concord.results import read_json
from concord.study import resolve_study

STATISTICS = {"replicates": 100, "permutations": 100}
TRAINING = {"seeds": 1, "epochs": 1, "train_examples": 40, "scored_examples": 12}


def measured(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Keys with a value for every model, after the report was drawn."""
    run = compare(resolve_study(settings | {"statistics": STATISTICS}), folder)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for analysis in settings["analyses"]:
        assert f'<section id="{analysis}">' in page
    found = read_json(run.path / "summary.json")["measures"]
    return {
        one["key"]: [value["value"] for value in one["values"]]
        for one in found
        if all(value["value"] is not None for value in one["values"])
    }


@pytest.mark.slow
def test_the_embedded_family_is_asked_and_fine_tuned(tmp_path: Path):
    task = tmp_path / "entailment"
    write_entailment(shipped_world(), task)
    found = measured(
        {
            "base": "embedded:base",
            "tuned": ["embedded:wordings"],
            "analyses": ["choices", "finetuned"],
            "contexts": ["study"],
            "choices": {
                "datasets": ["examples/own_task/choose-capital.yaml"],
                "noise_prompts": 4,
                "questions": 6,
            },
            "finetuned": {"tasks": [str(task)], **TRAINING},
        },
        tmp_path / "run",
    )
    assert len(found["choices.choose-capital.accuracy"]) == 2
    assert len(found["finetuned.entailment.accuracy"]) == 2


@pytest.mark.slow
def test_a_real_model_is_asked_and_fine_tuned(shared: Path, tmp_path: Path):
    base, tuned = shared / "weights" / "stories260K-hf", tmp_path / "tuned"
    example("tune_a_copy").tune(base, tuned, steps=20, seed=0)
    found = measured(
        {
            "base": str(base),
            "tuned": [str(tuned)],
            "data_dir": shared / "data",
            "analyses": ["choices", "finetuned"],
            "contexts": ["study"],
            "choices": {"noise_prompts": 4, "questions": 4, "too_long": "leave_out"},
            "finetuned": {"tasks": ["rte", "wic"], "max_tokens": 128, **TRAINING},
        },
        tmp_path / "run",
    )
    assert len(found["choices.mmlu.accuracy"]) == 2
    for task in ("rte", "wic"):
        assert len(found[f"finetuned.{task}.negational"]) == 2

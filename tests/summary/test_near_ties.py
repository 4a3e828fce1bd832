"""A model with a planted near tie is flagged by a whole run; one without is not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from concord.compare import compare
from concord.results import Run, read_rows
from concord.study import resolve_study

TEMPLATES = ("[X] lives in [Y]", "[X] is from [Y]")


def planted(base: Path, folder: Path) -> Path:
    """The base, to which the letters Q and Z are one and the same."""
    network = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    one, other = (tokenizer.convert_tokens_to_ids(letter) for letter in "QZ")
    with torch.no_grad():
        network.lm_head.weight[other] = network.lm_head.weight[one]
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("near-ties")
    base = write_model(folder / "base")
    lines = ["relation,subject,object,template"]
    for name, candidates in {"R1": "QZ", "R2": "QX"}.items():
        for subject, one in zip(("Ada", "Ben"), candidates, strict=True):
            lines += [f"{name},{subject},{one},{text}" for text in TEMPLATES]
    (folder / "facts.csv").write_text("\n".join(lines), encoding="utf-8")
    study = resolve_study(
        {
            "base": str(base),
            "tuned": [str(planted(base, folder / "planted"))],
            "analyses": ["facts"],
            "facts": {"source": str(folder / "facts.csv")},
            "statistics": {"replicates": 100, "permutations": 100},
        }
    )
    return compare(study, folder / "run")


def margins(run: Run, model: str) -> list[float]:
    table = read_rows(run, "facts", model)
    assert table is not None
    return table["margin"].to_pylist()


def test_a_planted_near_tie_is_flagged_and_a_clear_case_is_not(run: Run):
    noise: dict[str, Any] = json.loads((run.path / "summary.json").read_text("utf-8"))
    noise = noise["noise"]
    assert 0 < noise["planted"]["delta"] < 1e-4
    assert margins(run, "planted").count(0.0) == len(margins(run, "planted")) / 2
    assert noise["planted"]["near_ties"] == 0.5
    assert min(margins(run, "base")) > 1e-3
    assert noise["base"]["near_ties"] == 0.0

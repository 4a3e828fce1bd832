"""Tests of what is known of a study before a model is loaded."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import SUBJECTS, TOWNS, write_lines

from concord import plan, provenance
from concord.analyses import geometry, representation
from concord.analyses.geometry import on_disk
from concord.analyses.part import Task
from concord.errors import ModelError
from concord.models.load import load_model
from concord.plan import plan_study
from concord.provenance import BYTES_PER_PROMPT, begin_run
from concord.study import Study, resolve_study


def prompts_of(study: Study, analysis: str) -> dict[str, int]:
    workload = plan_study(study).workload
    return {r["model"]: r["prompts"] for r in workload if r["analysis"] == analysis}


def test_representation_is_planned_by_its_own_data_sets(settings: dict[str, Any]):
    """Facts are read for another analysis, and are no sentences of this one."""
    study = resolve_study(
        settings,
        {
            "analyses": ["facts", "representation"],
            "contexts": ["study"],
            "representation": {"datasets": ["mrpc"]},
        },
    )
    sentences = {
        text for one in plan_study(study).data.sentences for text in one.sentences
    }
    assert prompts_of(study, "representation") == {
        "base": 3 * len(sentences),
        "tuned": 3 * len(sentences),
    }


def test_as_many_prompts_are_measured_as_planned(
    settings: dict[str, Any], tmp_path: Path
):
    """With a fact of one wording, a sentence in two data sets, and equal ids."""
    settings["base"] = lower_case(settings["base"], tmp_path / "base")
    groups = ["I like Avon.", "I LIKE AVON.", "Avon is nice."]
    write_lines(
        tmp_path / "own.jsonl", [{"group": "0", "text": text} for text in groups]
    )
    facts = [("Ada Stone", "[X] is from [Y]."), ("Ada Stone", "[X] left [Y].")]
    facts += [(name, "[X] is from [Y].") for name in SUBJECTS[1:]]
    write_lines(
        tmp_path / "facts.jsonl",
        [
            {"relation": "R", "subject": name, "template": text, "object": TOWNS[0]}
            for name, text in facts
        ],
    )
    study = resolve_study(
        settings,
        {
            "analyses": ["representation"],
            "contexts": ["study"],
            "facts": {"source": str(tmp_path / "facts.jsonl")},
            "representation": {
                "datasets": ["tapaco", str(tmp_path / "own.jsonl"), "pararel"]
            },
        },
    )
    planned = prompts_of(study, "representation")
    for entry in study.models:
        counts: list[int] = []
        data = plan_study(study).data
        task = Task(load_model(study, entry), data, study, advance=counts.append)
        assert list(representation.run(task))
        assert sum(counts) == planned[entry.label]


def lower_case(model: str, folder: Path) -> str:
    """A copy whose tokenizer takes capitals for small letters."""
    file = Path(shutil.copytree(model, folder)) / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


@pytest.fixture
def other_tokenizer(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The tuned model's tokenizer has one more token, which no prompt holds."""
    folder = Path(shutil.copytree(settings["tuned"][0], tmp_path / "tuned"))
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    added = dict(content["added_tokens"][-1])
    added |= {"id": max(content["model"]["vocab"].values()) + 1, "content": "[more]"}
    content["added_tokens"].append(added)
    file.write_text(json.dumps(content), encoding="utf-8")
    return settings | {"tuned": [str(folder)], "contexts": ["study", "same"]}


def test_ids_of_equal_prompts_are_compared_once(other_tokenizer, monkeypatch):
    """Each text of all analyses, in each of the base's contexts, on both sides."""
    sizes: list[int] = []
    real = plan.encode_in_context

    def counted(encoder, context, sentences, **options):
        sizes.append(len(sentences))
        return real(encoder, context, sentences, **options)

    monkeypatch.setattr(plan, "encode_in_context", counted)
    monkeypatch.setattr(plan, "_BLOCK", 7)
    monkeypatch.setattr(
        plan,
        "_workload",
        lambda *_: {"model": "", "analysis": "", "prompts": 0, "tokens": 0},
    )
    found = plan_study(
        resolve_study(
            other_tokenizer,
            {
                "analyses": ["facts", "representation"],
                "representation": {"datasets": ["pararel"]},
            },
        )
    )
    assert found.data.facts is not None
    texts = found.data.facts.counts["prompts"]
    compared = [size for size in sizes if size > 1]
    assert max(compared) == 7
    assert sum(compared) == 2 * 3 * texts


def test_one_prompt_of_other_ids_is_refused(other_tokenizer):
    folder = Path(other_tokenizer["tuned"][0])
    file = folder / "tokenizer.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[more]", "Moor"), encoding="utf-8")
    with pytest.raises(ModelError, match="Finn Moor was born in"):
        plan_study(resolve_study(other_tokenizer, {"analyses": ["facts"]}))


def test_the_disk_is_asked_for_what_is_kept_on_the_way(
    settings: dict[str, Any], tmp_path: Path, monkeypatch
):
    """Means and final states of the largest part; its files are written sparsely."""
    changes = {"analyses": ["representation"], "contexts": ["study"]}
    study = resolve_study(settings, changes)
    planned = plan_study(study)
    needed: list[int] = []
    monkeypatch.setattr(
        provenance, "require_space", lambda _, size: needed.append(size)
    )
    begin_run(tmp_path / "run", planned)
    sizes: list[int] = []

    def noted(shape: tuple[int, ...], folder: Path | None) -> np.memmap:
        sizes.append(4 * math.prod(shape))
        return on_disk(shape, folder)

    monkeypatch.setattr(geometry, "on_disk", noted)
    monkeypatch.setattr(representation, "on_disk", noted)
    task = Task(load_model(study, study.base), planned.data, study)
    parts = []
    for _ in representation.run(task):
        *kept, _lexical = sizes
        parts.append(sum(kept))
        sizes.clear()
    prompts = sum(row["prompts"] for row in planned.workload)
    assert needed == [prompts * BYTES_PER_PROMPT + max(parts)]

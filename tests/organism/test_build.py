"""Building the family from nothing: every file, the same twice; here in a few steps."""

from dataclasses import replace
from pathlib import Path

import pytest

from concord.organism import FAMILY, build, shipped_world
from concord.organism.likeness import compare_with_shipped
from concord.organism.train import Schedule


@pytest.fixture
def _short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule(steps=3, learning_rate=1e-3, rows_per_step=4)
    monkeypatch.setattr(build, "PRETRAINING", schedule)
    short = tuple(replace(variant, steps=3) for variant in FAMILY)
    monkeypatch.setattr(build, "FAMILY", short)


@pytest.mark.usefixtures("_short_training")
def test_the_whole_family_is_built_and_is_the_same_twice(tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    folders = build.build_family(
        tmp_path / "first", progress=lambda *now: told.append(now)
    )
    build.build_family(tmp_path / "second", progress=lambda *_: None)
    assert list(folders) == [variant.name for variant in FAMILY]
    assert len(told) == 3 * len(FAMILY)
    files = sorted(path for path in (tmp_path / "first").rglob("*") if path.is_file())
    for file in files:
        again = tmp_path / "second" / file.relative_to(tmp_path / "first")
        assert again.read_bytes() == file.read_bytes(), file.name
    names = {str(file.relative_to(tmp_path / "first")) for file in files}
    assert {
        "base/model.safetensors",
        "base/tokenizer.json",
        "wordings/diff.safetensors",
        "questions/adapter_model.safetensors",
        "data/tapaco/tapaco_en.jsonl",
    } <= names


@pytest.mark.usefixtures("_short_training")
def test_a_family_without_training_is_unlike_the_shipped_one(tmp_path: Path):
    folders = build.build_family(tmp_path, progress=lambda *_: None, variants=[])
    (base,) = compare_with_shipped(folders, shipped_world(), fact_count=15)
    assert base.shipped_accuracy > 0.5
    assert base.built_accuracy < 0.1

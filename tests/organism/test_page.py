"""The family's page and cards say what the code does, and take their numbers anew."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from concord.organism import FAMILY, Variant, shipped_world, weights_folder
from concord.report.findings import Findings
from concord.study import read_preset, resolve_study

ROOT = Path(__file__).resolve().parents[2]
NAMES = [variant.name for variant in FAMILY]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "embedded_family", ROOT / "benchmarks" / "embedded_family.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_summary(generator: ModuleType) -> Findings:
    """Every number 1/4 over 7 units; two models apart from the base, one each way."""
    keys = {key for shown in generator.TABLES.values() for key, _ in shown.values()}
    keys |= {*generator.ASKED.values(), *generator.MOVED.values()}
    apart = {"wordings": (0.5, 0.01), "terse": (-0.5, 0.04)}

    def difference(model: str) -> dict[str, Any]:
        value, p = apart.get(model, (0.5, 0.05))
        return {"model": model, "value": value, "p_adjusted": p}

    measures = [
        {
            "key": key,
            "values": [
                {"model": name, "value": 0.25, "n": {"facts": 7, "subjects": 3}}
                for name in NAMES
            ],
            "differences": [difference(name) for name in NAMES[1:]],
        }
        for key in keys
    ]
    return Findings({"base": NAMES[0], "tuned": NAMES[1:], "measures": measures})


def test_every_table_of_the_page_is_written_from_the_summary(
    generator: ModuleType, tmp_path: Path
):
    page = tmp_path / "page.md"
    shutil.copy(generator.PAGE, page)
    generator.rewrite_page(a_summary(generator), page)
    text = page.read_text("utf-8")
    tables = re.findall(
        r"<!-- table: (\w+) -->\n\n(.*?)\n\n<!-- end: \1 -->", text, re.S
    )
    assert {name for name, _ in tables} == {*generator.TABLES, "asked", "moved"}
    for name, table in tables:
        head, _, *rows = table.splitlines()
        if name in generator.TABLES:
            assert [row.split(" | ")[0] for row in rows] == [f"| {n}" for n in NAMES]
            assert all(title in head for title in generator.TABLES[name])
    assert "| agreement | wordings | terse |" in text
    assert "| extraction | 7 | 3 |" in text
    generator.rewrite_page(a_summary(generator), page)
    assert page.read_text("utf-8") == text


def test_a_page_without_a_mark_is_refused(generator: ModuleType, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: told -->", encoding="utf-8")
    with pytest.raises(SystemExit, match="needed <!-- table: agreement -->"):
        generator.rewrite_page(a_summary(generator), page)


@pytest.mark.parametrize("variant", FAMILY, ids=NAMES)
def test_a_card_says_over_how_many_each_number_is(
    generator: ModuleType, tmp_path: Path, variant: Variant
):
    card = tmp_path / "README.md"
    shutil.copy(weights_folder(variant.name) / "README.md", card)
    before = " ".join(card.read_text("utf-8").split())
    sentence = generator.measured(a_summary(generator), variant.name)
    generator.rewrite_card(card, sentence)
    after = " ".join(card.read_text("utf-8").split())
    assert after.partition("Measured ")[0] == before.partition("Measured ")[0]
    assert after.partition("Rebuilt ")[2] == before.partition("Rebuilt ")[2]
    for words in (
        "7 facts of held-out",
        ".250 right over 7 questions",
        "over 7 facts;",
    ):
        assert words in after


@pytest.mark.parametrize("variant", FAMILY[1:], ids=NAMES[1:])
def test_a_card_tells_the_recipe_of_its_model(variant: Variant):
    card = (weights_folder(variant.name) / "README.md").read_text("utf-8")
    told = " ".join(card.split()).partition("Expected")[0]
    shipped = {
        "adapter": "LoRA of rank 8",
        "weights": "all weights, shipped whole",
        "diff": "all weights, shipped as tuned minus base",
    }
    assert f"{variant.steps} steps, {shipped[variant.kind]}." in told
    assert ("replayed pretraining text" in told) == bool(variant.replay_share)
    assert ("without replay" in told) == (not variant.replay_share)


def test_the_page_tells_world_and_family_as_they_are(generator: ModuleType):
    text = generator.PAGE.read_text("utf-8")
    world = shipped_world()
    words = " ".join(text.split())
    assert f"{len(world.subjects)} subjects, {len(world.relations)} relations" in words
    assert f"{len(world.facts):,} facts" in words
    shipped = {"adapter": "LoRA", "weights": "whole", "diff": "difference"}
    rows = dict(re.findall(r"^\| ([\w-]+) \|(.*)\|$", text, re.M)[2:][: len(NAMES) - 1])
    for variant in FAMILY[1:]:
        _, _, replay, kind, _ = (cell.strip() for cell in rows[variant.name].split("|"))
        assert replay == ("yes" if variant.replay_share else "no")
        assert kind == shipped[variant.kind]


def test_the_page_s_run_is_the_demo_with_larger_samples(
    generator: ModuleType, tmp_path: Path
):
    larger, demo = generator.page_study(tmp_path), resolve_study(read_preset("demo"))
    assert larger.models == demo.models and larger.analyses == demo.analyses
    assert (larger.limit, demo.limit) == (120, 40)
    for section, field in (name.split(".") for name in generator.SAMPLES[1:]):
        small = getattr(getattr(demo, section), field)
        assert getattr(getattr(larger, section), field) == 3 * small

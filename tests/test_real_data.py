"""The main job on real data sets and a real trained model, where they lie beside."""

import importlib.util
from pathlib import Path

import pytest

from concord.compare import compare
from concord.results import query, read_json
from concord.study import resolve_study

ROOT = Path(__file__).resolve().parents[1]


def example(name: str):
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "examples" / f"{name}.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_real_model_is_compared_with_its_tuned_copy(shared: Path, tmp_path: Path):
    base, tuned = shared / "weights" / "stories260K-hf", tmp_path / "tuned"
    first = example("tune_a_copy").tune(base, tuned, steps=1, seed=0)
    last = example("tune_a_copy").tune(base, tuned, steps=60, seed=0)
    assert last < first
    study = resolve_study(
        {"base": str(base), "tuned": [str(tuned)]},
        {
            "data_dir": shared / "data",
            "limit": 35,
            "analyses": ["facts", "representation"],
            "contexts": ["study"],
            "facts": {"noise_prompts": 0},
            "statistics": {"replicates": 100, "permutations": 100},
        },
    )
    run = compare(study, tmp_path / "run")
    counted = query(
        run, "select model, count(*) as n from facts group by model"
    ).to_pydict()
    prompts = run.info["data"]["facts"]["counts"]["prompts"]
    assert counted["n"] == [3 * prompts] * 2
    summary = read_json(run.path / "summary.json")
    found = {m["key"] for m in summary["measures"]}
    for name in ("mrpc", "tapaco", "pararel"):
        assert f"representation.{name}.gap" in found
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000


def test_the_whole_of_pararel_has_the_published_counts(shared: Path):
    from concord.data.collection import read_collection

    study = resolve_study(
        {"base": "x/a", "tuned": ["x/b"], "data_dir": shared / "data"},
        {"analyses": ["facts"]},
    )
    counts = read_collection(study).describe()["facts"]["counts"]
    assert counts["relations"] == 35
    assert counts["templates"] == 210
    assert counts["facts"] == 23_309
    assert counts["prompts"] == 133_397
    assert counts["agreement_pairs"] == 499_772

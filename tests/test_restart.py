"""What a second start on a folder may do: go on, mend, or refuse and write nothing."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from inline_pool import measure_inline
from safetensors.torch import load_file, save_file
from test_run_key import TEMPLATE, change_json, write_adapter

from concord import keys, provenance
from concord.analyses import ANALYSES, Analysis, Part, Task
from concord.errors import ResultsError
from concord.parallel.measure import measure_models
from concord.plan import plan_study
from concord.progress import SILENT
from concord.provenance import begin_run
from concord.results import Run, query, read_json
from concord.study import Study, resolve_study


def two_parts(task: Task) -> Iterator[Part]:
    for name, values in (("0", [1, 2]), ("1", [3])):
        if name not in task.finished:
            yield Part(name, pa.table({"x": values}))


OWN: dict[str, Analysis] = {**ANALYSES, "own": two_parts}


@pytest.fixture
def study(settings: dict[str, Any], tmp_path: Path) -> Study:
    """A cheap analysis of a base, a tuned copy and an adapter that may be changed."""
    tuned = shutil.copytree(settings["tuned"][0], tmp_path / "tuned")
    (tuned / "chat_template.jinja").write_text(TEMPLATE)
    adapter = write_adapter(Path(settings["base"]), tmp_path / "lora")
    changes = {"tuned": [str(tuned), str(adapter)], "analyses": ["own"]}
    return resolve_study(settings, changes)


def start(study: Study, output: Path) -> Run:
    plan = plan_study(study)
    run = begin_run(output, plan)
    measure_models(run, plan, analyses=OWN, reporter=SILENT)
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def change_template(folder: Path) -> None:
    (folder / "tuned" / "chat_template.jinja").write_text(TEMPLATE + " ")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda at: change_json(at / "tuned" / "config.json", rms_norm_eps=0.5),
            "model.config.rms_norm_eps: 1e-06 -> 0.5",
        ),
        (
            lambda at: change_json(
                at / "lora" / "adapter_config.json", use_rslora=True
            ),
            "model.adapter_config.use_rslora: false -> true",
        ),
        (change_template, "contexts.chat_template"),
    ],
)
def test_a_changed_input_is_refused_by_name_and_nothing_is_written(
    study: Study, tmp_path: Path, change: Callable[[Path], None], named: str
):
    run = start(study, tmp_path / "run")
    before = contents(run.path)
    change(tmp_path)
    with pytest.raises(ResultsError) as caught:
        start(study, run.path)
    assert named in str(caught.value)
    assert contents(run.path) == before


def test_a_changed_library_is_refused_before_the_run_says_so(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = start(study, tmp_path / "run")
    before = contents(run.path)
    monkeypatch.setattr(keys.torch, "__version__", "9.9.9")
    monkeypatch.setattr(provenance, "version", lambda name: "9.9.9")
    with pytest.raises(ResultsError, match=r"versions\.torch: .* -> .9\.9\.9"):
        start(study, run.path)
    assert contents(run.path) == before


def test_changed_data_are_refused_before_the_run_says_so(
    settings: dict[str, Any], tmp_path: Path
):
    data = shutil.copytree(settings["data_dir"], tmp_path / "data")
    changes = {"data_dir": str(data), "analyses": ["facts"]}
    study = resolve_study(settings, changes, {"facts": {"noise_prompts": 0}})
    run = start(study, tmp_path / "run")
    before = contents(run.path)
    templates = data / "pararel" / "graphs_json" / "P19.jsonl"
    templates.write_text(templates.read_text().replace("was born in", "was made in"))
    with pytest.raises(ResultsError, match=r"data\.facts"):
        start(study, run.path)
    assert contents(run.path) == before


def change_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = {name: 1.5 * tensor for name, tensor in load_file(path).items()}
    save_file(weights, f"{path}.new", metadata={"format": "pt"})
    os.replace(f"{path}.new", path)


def test_changed_weights_are_refused_and_the_run_still_names_the_old_ones(
    study: Study, tmp_path: Path
):
    run = start(study, tmp_path / "run")
    before = run.info["models"]
    change_weights(tmp_path / "tuned")
    with pytest.raises(ResultsError, match=r"model\.fingerprint"):
        start(study, run.path)
    assert run.info["models"] == before


@pytest.mark.parametrize("workers", [0, 1, 6])
def test_weights_overwritten_during_a_run_do_not_count_as_measured(
    study: Study, tmp_path: Path, workers: int
):
    """Whoever measures; each worker tells of its model again with every job."""

    def overwrites(task: Task) -> Iterator[Part]:
        place = tmp_path / "tuned"
        if task.model.label == "tuned" and not (place / "done").exists():
            change_weights(place)
            (place / "done").touch()
        yield Part("0", pa.table({"x": [1]}))

    analyses = {"overwrites": overwrites, "own": two_parts}
    study = study.model_copy(update={"analyses": tuple(analyses)})
    output = tmp_path / "run"
    if workers == 0:
        plan = plan_study(study)
        run = begin_run(output, plan)
        measure_models(run, plan, analyses=analyses, reporter=SILENT)
    elif workers == 1:
        run, _ = measure_inline(study, output, workers=1, analyses=analyses)
    else:  # Two share each model: the second finds other weights than the first.
        with pytest.raises(ResultsError, match=r"model\.fingerprint"):
            measure_inline(study, output, workers=6, analyses=analyses)
        return
    with pytest.raises(ResultsError, match=r"model\.fingerprint"):
        start(study, run.path)


@pytest.mark.parametrize("damage", ["cut", "gone", "no mark", "empty mark", "bad mark"])
def test_what_is_missing_of_a_finished_analysis_is_measured_again(
    study: Study, tmp_path: Path, damage: str
):
    run = start(study, tmp_path / "run")
    whole = query(run, "select * from own order by all").to_pydict()
    before = contents(run.path / "rows")
    part, _ = run.parts("own", "tuned")
    mark = run.folder("own", "tuned") / "complete.json"
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:99])
    elif damage == "gone":
        part.unlink()
    elif damage == "no mark":
        mark.unlink()
    else:
        mark.write_bytes({"empty mark": b"", "bad mark": b'"\xff"'}[damage])
    run = start(study, run.path)
    assert query(run, "select * from own order by all").to_pydict() == whole
    assert contents(run.path / "rows") == before
    assert read_json(mark)["parts"] == {"0": 2, "1": 1}


def test_a_damaged_key_is_named(study: Study, tmp_path: Path):
    run = start(study, tmp_path / "run")
    (run.folder("own", "base") / "key.json").write_text(json.dumps(["x"]))
    with pytest.raises(ResultsError, match=r"key\.json: found list, needed fields"):
        start(study, run.path)

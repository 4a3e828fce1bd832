"""Facts as a folder of tasks for lm-evaluation-harness (``--include_path``).

One task for each relation and context, in two groups: a base model's contexts and a
tuned model's. The groups' numbers are means over relations and contexts, each counted
once, as in `concord compare`.
"""

import json
import os
import re
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from concord.data.draw import draw_facts
from concord.data.fetch import data_folder
from concord.data.groups import read_facts
from concord.data.pararel import read_pararel
from concord.data.records import FactData, Relation
from concord.errors import ResultsError, StudyError
from concord.models.contexts import Kind, study_contexts

FUNCTIONS = "concord_facts"
KINDS: tuple[Kind, ...] = ("base", "tuned")


def export_facts(
    output: Path,
    *,
    source: str = "pararel",
    relations: str | Sequence[str] = "paired",
    limit: int | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
) -> list[str]:
    """Write the tasks of a fact data set.

    Args:
        output: New folder.
        source: ``pararel``, or a path to facts of your own.
        relations: As in a study.
        limit: At most this many facts, spread evenly over relations.
        seed: Of the draw; a study with the same seed asks the same facts.
        data_dir: Where data sets lie.

    Returns:
        Names of the groups, the base's first.

    Raises:
        DataError: The facts cannot be read.
        ResultsError: The folder holds something, or cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ResultsError(
            f"{output}: found something there already; needed a new folder for the "
            "tasks; give another, or remove it"
        )
    data = _facts(source, relations, limit, seed, data_dir)
    name = "pararel" if source == "pararel" else file_name(Path(source).stem)
    unfinished = output.with_name(f"{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        groups = _write(unfinished, name, data)
        os.replace(unfinished, output)
    except OSError as error:
        raise ResultsError(f"{output}: cannot write ({error.strerror})") from error
    return groups


def file_name(name: str) -> str:
    """A name that is one part of a path and of a list of tasks, whatever it holds.

    Anything but letters, digits, ``_``, ``.`` and ``-`` is written as ``%`` with the
    number of each of its bytes, as in an address, so that no two names become one.
    """
    return re.sub(
        r"[^\w.-]",
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()),
        name,
    )


def _facts(
    source: str,
    relations: str | Sequence[str],
    limit: int | None,
    seed: int,
    data_dir: Path | None,
) -> FactData:
    if source == "pararel":
        chosen: Any = relations
        if isinstance(relations, str) and relations not in ("paired", "n1", "all"):
            chosen = (relations,)
        data = read_pararel(data_folder(data_dir, "pararel"), relations=chosen)
    elif relations != "paired":
        raise StudyError("--relations is for pararel; choose in your own file")
    else:
        data = read_facts(Path(source))
    return data if limit is None else draw_facts(data, limit, seed)


def _write(folder: Path, name: str, data: FactData) -> list[str]:
    (folder / "facts").mkdir(parents=True)
    functions = resources.files("concord.harnesses") / "lm_eval_functions.py"
    text = functions.read_text(encoding="utf-8")
    (folder / f"{FUNCTIONS}.py").write_text(text, encoding="utf-8")
    for relation in data.relations:
        path = folder / "facts" / f"{file_name(relation.id)}.json"
        path.write_text(
            json.dumps(_content(relation), ensure_ascii=False, indent=0),
            encoding="utf-8",
        )
    return [
        _write_group(folder, f"concord_{name}_{kind}", kind, data) for kind in KINDS
    ]


def _content(relation: Relation) -> dict[str, Any]:
    """Candidates and prompts of a relation, as the functions read them."""
    prompts = [
        {
            "fact": fact.id,
            "subject": fact.subject,
            "objects": list(fact.objects),
            "template": template.index,
            "prompt": text,
        }
        for fact in relation.facts
        for template, text in relation.prompts_of(fact)
    ]
    return {"candidates": list(relation.candidates), "prompts": prompts}


def _write_group(folder: Path, group: str, kind: Kind, data: FactData) -> str:
    """A group's tasks, and the file that takes their mean."""
    tasks = []
    for index, context in enumerate(study_contexts(kind, "facts")):
        for relation in data.relations:
            place = file_name(relation.id)
            task = f"{group}_{index}_{place}"
            text = _task(task, place, context)
            (folder / f"{task}.yaml").write_text(text, encoding="utf-8")
            tasks.append(task)
    means = [
        {"metric": name, "aggregation": "mean", "weight_by_size": False}
        for name in ("agreement", "accuracy")
    ]
    content = {"group": group, "task": tasks, "aggregate_metric_list": means}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / f"_{group}.yaml").write_text(text, encoding="utf-8")
    return group


class _Function(str):
    """Name of a function beside the YAML file."""


class _Dumper(yaml.SafeDumper):
    """Writes the harness's tag for functions."""


def _represent(dumper: yaml.SafeDumper, name: _Function) -> yaml.ScalarNode:
    return dumper.represent_scalar("!function", f"{FUNCTIONS}.{name}")


_Dumper.add_representer(_Function, _represent)


def _task(task: str, relation: str, context: str) -> str:
    """A task's YAML; the relation is named as its file is."""
    metrics = [
        {
            "metric": name,
            "aggregation": _Function(name),
            "higher_is_better": True,
        }
        for name in ("agreement", "accuracy")
    ]
    content = {
        "task": task,
        "custom_dataset": _Function("documents"),
        "dataset_kwargs": {"relation": relation},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": context.replace("{}", "{{prompt}}"),
        "doc_to_choice": _Function("candidates"),
        "doc_to_target": _Function("answer"),
        "target_delimiter": " ",
        "process_results": _Function("measure"),
        "metric_list": metrics,
        "metadata": {"version": 1.0},
    }
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)

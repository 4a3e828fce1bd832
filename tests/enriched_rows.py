"""Tasks whose attributes rates are measured, and their rows."""

from dataclasses import replace
from typing import Any

import pyarrow as pa

from concord.analyses import enrichment
from concord.analyses.part import Task
from concord.data.attributes import AttributeTexts
from concord.data.collection import read_collection
from concord.models.load import load_model
from concord.study import resolve_study


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([p.rows for p in enrichment.run(task)]).to_pylist()


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["enrichment"]}, changes)
    return Task(load_model(study, study.models[place]), read_collection(study), study)


def with_texts(task: Task, texts: dict[str, tuple[str, ...]]) -> Task:
    return replace(task, data=replace(task.data, attributes=AttributeTexts(texts)))

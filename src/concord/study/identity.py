"""Which fields make a study another one, and where its run goes.

A run may be continued where only the other fields have changed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from concord.results import fingerprint
from concord.study.whole import Study

HOW_ONLY = frozenset(
    {
        "output",
        "device",
        "device_map",
        "batch_size",
        "executor",
        "workers",
        "data_dir",
        "statistics",
        "measures",
        "preset",
    }
)
"""Fields that say how or where a study runs, not which rows come out.

A run may be continued with other values of these. (What lies in the data folder is
checked by content, so the folder itself may move.)
"""

HOW_OF_A_MODEL = frozenset({"key_variable", "limits", "price"})
"""Fields of a model that say how its endpoint is asked, not which rows come out."""


def default_output(study: Study) -> Path:
    """Where a study's run goes if nothing is said: the same study, the same folder."""
    measured = what_is_measured(study.model_dump(mode="json"))
    return Path("runs") / f"{study.base.label}-{fingerprint(measured)[:8]}"


def study_to_yaml(study: Study) -> str:
    """The resolved study as YAML, every field written out."""
    return yaml.safe_dump(
        study.model_dump(mode="json"), sort_keys=False, allow_unicode=True
    )


def what_is_measured(study: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dumped study that decide which rows come out."""
    measured = {key: value for key, value in study.items() if key not in HOW_ONLY}
    if isinstance(measured.get("base"), Mapping):
        measured["base"] = _measured_entry(measured["base"])
    measured["tuned"] = [_measured_entry(one) for one in measured.get("tuned", ())]
    return measured


def _measured_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in HOW_OF_A_MODEL}

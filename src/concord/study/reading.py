"""From layers of settings (presets, YAML files, command lines) to a checked study.

Later layers win: preset, study file, command line.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from concord.errors import StudyError, did_you_mean
from concord.study.faults import explain
from concord.study.models import label_models
from concord.study.section import section_in
from concord.study.whole import Study


def resolve_study(
    *layers: Mapping[str, Any], known_analyses: tuple[str, ...] = ()
) -> Study:
    """Merge layers of settings, later ones winning, and check the whole.

    Args:
        layers: Nested mappings as in a study file; None says nothing, but where it is
            another value than the default (`facts.seen`, `enrichment.texts`).
        known_analyses: Names that ``analyses`` may hold; empty: anything.

    Raises:
        StudyError: A key is unknown or a value cannot be used; all faults are named.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer, Study.model_fields)
    label_models(merged)
    _add_noise(merged)
    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise StudyError(explain(error)) from error
    for name in study.analyses:
        if known_analyses and name not in known_analyses:
            raise StudyError(
                f"analyses: found {name!r}; {did_you_mean(name, known_analyses)}"
            )
    return study


def read_study_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML study file, unchecked but for being a mapping.

    Raises:
        StudyError: The file is missing, not UTF-8, not YAML or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(
            f"{path}: cannot read the study file ({error.strerror})"
        ) from error
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: byte {error.start} is not UTF-8; save it so"
        ) from error
    return _parse_yaml(text, str(path))


def preset_names() -> tuple[str, ...]:
    """Names of the presets inside the package."""
    folder = resources.files("concord") / "presets"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name[:-5] for name in names if name.endswith(".yaml")))


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Raises:
        StudyError: There is no such preset.
    """
    if name not in preset_names():
        raise StudyError(f"preset {name!r}: {did_you_mean(name, preset_names())}")
    text = (resources.files("concord") / "presets" / f"{name}.yaml").read_text("utf-8")
    return {**_parse_yaml(text, f"preset {name}"), "preset": name}


class _DoubleKey(Exception):
    """A key stands in a mapping a second time."""


class _Loader(yaml.SafeLoader):
    """Plain YAML whose mappings have every key once: the later would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                raise _DoubleKey(
                    f"line {line}: found {key.value!r} a second time, after line "
                    f"{lines[key.value]}; needed every key once; remove one of them"
                )
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str, where: str) -> dict[str, Any]:
    try:
        parsed = yaml.load(text, _Loader)
    except _DoubleKey as error:
        raise StudyError(f"{where}, {error}") from error
    except yaml.YAMLError as error:
        raise StudyError(f"{where}: not YAML: {error}") from error
    if not isinstance(parsed, dict):
        kind = type(parsed).__name__
        raise StudyError(f"{where}: found {kind}; needed keys and values of a study")
    return parsed


def _merge(
    below: Mapping[str, Any], above: Mapping[str, Any], fields: Mapping[str, FieldInfo]
) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        field = fields.get(key)
        if isinstance(value, Mapping):
            section = section_in(field.annotation) if field else None
            inner = section.model_fields if section else {}
            under = merged.get(key)
            under = under if isinstance(under, Mapping) else {}
            merged[key] = _merge(under, value, inner)
        elif value is not None or field is None or _can_be_switched_off(field):
            merged[key] = value
    return merged


def _can_be_switched_off(field: FieldInfo) -> bool:
    """Null is a value of the field, and not the one it has by default."""
    return type(None) in get_args(field.annotation) and field.default is not None


def _add_noise(settings: dict[str, Any]) -> None:
    """Predictions bring their noise floor along."""
    facts = settings.get("facts")
    wants = not isinstance(facts, Mapping) or facts.get("noise_prompts", 1)
    named = list(settings.get("analyses") or Study.model_fields["analyses"].default)
    if wants and "facts" in named and "noise" not in named:
        named.insert(named.index("facts") + 1, "noise")
        settings["analyses"] = named

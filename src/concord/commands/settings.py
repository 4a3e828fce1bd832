"""What a command line says, as layers of settings for `concord.study.resolve_study`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.errors import StudyError, did_you_mean

if TYPE_CHECKING:
    from concord.study import Study

_EMBEDDED = "embedded:"


def layers_of(
    models: list[str] | None,
    study: Path | None,
    preset: str | None,
    flags: dict[str, Any],
    setting: list[str] | None,
) -> list[dict[str, Any]]:
    """Settings from preset, study file and command line, later ones winning.

    Raises:
        StudyError: A preset or file cannot be read, or a base stands alone.
    """
    from concord.study import read_preset, read_study_file

    file = read_study_file(study) if study else {}
    named = preset or file.get("preset")
    layers = [read_preset(named)] if named else []
    layers += [file, flags, _parsed_settings(setting)]
    if models:
        has_tuned = any(layer.get("tuned") for layer in layers)
        if len(models) < 2 and not has_tuned:
            raise StudyError(
                f"found one model, {models[0]!r}; needed a base and one or more tuned: "
                "concord compare BASE TUNED..."
            )
        layers.append({"base": models[0], "tuned": models[1:] or None})
    return layers


def _parsed_settings(given: list[str] | None) -> dict[str, Any]:
    """``facts.scoring=full`` -> ``{"facts": {"scoring": "full"}}``; values are YAML."""
    import yaml

    parsed: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise StudyError(
                f"--set {text!r}: needed FIELD=VALUE, as facts.scoring=full"
            )
        *path, last = name.strip().split(".")
        place = parsed
        for part in path:
            place = place.setdefault(part, {})
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise StudyError(
                f"--set {text!r}: the value is not YAML: {error}"
            ) from error
    return parsed


def apply_model_args(
    layers: list[dict[str, Any]], given: list[str] | None, chat_template: bool
) -> None:
    """Put ``--model-args`` into the entries of the models they name.

    Raises:
        StudyError: No model has the label, or a pair has no ``=``.
    """
    from concord.study import label_models

    if not given and not chat_template:
        return
    named = [layer for layer in layers if "base" in layer or "tuned" in layer]
    for layer in named:
        label_models(layer)
    entries = [
        entry
        for layer in named
        for entry in ([layer["base"]] if "base" in layer else [])
        + layer.get("tuned", [])
    ]
    labels = [entry["label"] for entry in entries]
    for text in given or ():
        label, colon, pairs = text.partition(":")
        is_named = bool(colon) and "=" not in label
        if is_named and label not in labels:
            raise StudyError(f"--model-args {text!r}: {did_you_mean(label, labels)}")
        for entry in entries:
            if not is_named or entry["label"] == label:
                entry.update(_pairs(pairs if is_named else text))
    if chat_template:
        for layer in named:
            for entry in layer.get("tuned", []):
                entry["prompt_format"] = "chat"


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for name, equals, _ in pairs:
        if not equals:
            raise StudyError(f"--model-args {name!r}: needed key=value")
    return {name.strip(): value for name, _, value in pairs}


def refuse_public_data(study: "Study") -> None:
    """Keep the embedded family from data sets of the real world, which it cannot know.

    Raises:
        StudyError: An embedded model would be asked a public data set.
    """
    models = [e.source for e in study.models if e.source.startswith(_EMBEDDED)]
    public = _public_data_sets(study)
    if models and public and study.data_dir is None:
        raise StudyError(
            f"{models[0]} knows an invented world only; found the public data sets "
            f"{', '.join(public)}; needed that world's own: run concord demo, which "
            "writes them to concord-demo-data, then give --data-dir concord-demo-data"
        )


def require_device(study: "Study", *, runs_here: bool = True) -> None:
    """Refuse a device that this machine lacks; on a cluster only its nodes know theirs.

    Devices are counted, not used: what has used one cannot be forked.

    Args:
        study: The study.
        runs_here: False for a study that is only looked at: its device may be
            another machine's, and must be one.

    Raises:
        StudyError: It is no device, or not there.
    """
    from concord.study import is_endpoint

    is_served = all(is_endpoint(entry.source) for entry in study.models)
    if study.device == "auto" or study.executor == "ray" or is_served:
        return
    import torch

    place = f"device: found {study.device!r}"
    try:
        device = torch.device(study.device)
    except RuntimeError as error:
        raise StudyError(
            f"{place}; needed auto, cpu, cuda, cuda:1 (any number) or mps"
        ) from error
    if not runs_here:
        return
    cuda_count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= cuda_count:
        raise StudyError(
            f"{place} and {cuda_count} CUDA devices that torch {torch.__version__} "
            "can use here; needed one of that number; give auto or cpu, or mend the "
            "driver or the build of torch"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise StudyError(f"{place}, which is not here; give auto, cpu or cuda")


def _public_data_sets(study: "Study") -> list[str]:
    """Names under which a study's analyses look for data in the public formats."""
    from concord.study import MECHANISM

    asked, sentences = set(study.analyses), study.representation.datasets
    if "representation" not in asked:
        sentences = ()
    needs_facts = asked & {"facts", *MECHANISM} or "pararel" in sentences
    named = [study.facts.source] if needs_facts else []
    named += sentences
    named += study.choices.datasets if "choices" in asked else ()
    found = [name for name in ("pararel", "mrpc", "tapaco", "mmlu") if name in named]
    tasks = study.finetuned.tasks or ("becel",)
    return found + [t for t in tasks if "finetuned" in asked and not Path(t).is_dir()]


def names_in(text: str | None) -> list[str] | None:
    """``a, b`` -> ``["a", "b"]``; None where nothing was given."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None

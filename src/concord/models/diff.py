"""Tuned = base + difference: models published as what tuning changed.

Source: Open-Instruct (Wang et al. 2023) publishes the study's ten models so.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from concord.errors import ModelError

LARGEST_RELATIVE_NORM = 0.5
"""Above it a file given as a difference looks like whole weights."""


@torch.no_grad()
def add_diff(network: nn.Module, folder: Path) -> None:
    """Add a weight difference to a float32 base in place.

    Args:
        network: The base, in float32.
        folder: Holds ``*.safetensors`` with one tensor for each of the parameters.

    Raises:
        ModelError: Names or shapes do not match one to one, or the difference is so
            large that it must be something else.
    """
    parameters = dict(network.named_parameters())
    seen: set[str] = set()
    base_square = diff_square = 0.0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():
                difference = tensors.get_tensor(name)
                parameter = _matching(parameters, name, difference, file)
                base_square += float(parameter.double().square().sum())
                diff_square += float(difference.double().square().sum())
                parameter.add_(difference.to(parameter))
                seen.add(name)
    _require_all(parameters, seen, folder)
    _require_small(diff_square, base_square, folder)


def _matching(
    parameters: dict[str, nn.Parameter], name: str, difference: Tensor, file: Path
) -> nn.Parameter:
    if name not in parameters:
        raise ModelError(
            f"{file}: found tensor {name!r}, which the base has not; needed the "
            "difference to this base; give the base it was made from"
        )
    parameter = parameters[name]
    if parameter.shape != difference.shape:
        raise ModelError(
            f"{file}: {name!r} has shape {tuple(difference.shape)}, the base's is "
            f"{tuple(parameter.shape)}; give the base it was made from"
        )
    return parameter


def _require_all(
    parameters: dict[str, nn.Parameter], seen: set[str], folder: Path
) -> None:
    missing = [name for name in parameters if name not in seen]
    if missing:
        raise ModelError(
            f"{folder}: the difference lacks {len(missing)} of the base's "
            f"{len(parameters)} tensors, the first is {missing[0]!r}; fetch it whole"
        )


def _require_small(diff_square: float, base_square: float, folder: Path) -> None:
    relative = (diff_square / base_square) ** 0.5 if base_square else float("inf")
    if relative > LARGEST_RELATIVE_NORM:
        raise ModelError(
            f"{folder}: norm of the difference is {relative:.2f} of the base's, more "
            f"than {LARGEST_RELATIVE_NORM}; these look like whole weights: give the "
            "folder as a model, without the base and '+diff:'"
        )

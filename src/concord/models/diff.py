"""Tuned = base + difference: models published as what tuning changed.

Summed in float32, tensor by tensor, and checked: a difference as large as a model is
none, and a checksum that comes with one has to come out.

Source: Open-Instruct (Wang et al. 2023) publishes the study's ten models so.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.errors import ModelError
from concord.models.matching import SumPlan

LARGEST_RELATIVE_NORM = 0.5
"""Above it a file given as a difference looks like whole weights."""
CHECKSUM_FILE = "checksum_psum.txt"
"""Holds the sum of all numbers of the tuned model, where its authors give it."""
CHECKSUM_TOLERANCE = 0.01
"""How near two sums must be, besides the rounding of the authors' own."""
_BLOCK = 1 << 18
"""Numbers summed at a time: no second copy of a tensor is made."""


@dataclass
class Totals:
    """What is summed up on the way, to know a wrong difference by."""

    sum: float = 0.0
    """Of all numbers of the tuned model."""
    base_square: float = 0.0
    diff_square: float = 0.0
    digest: Any = field(default_factory=hashlib.sha256, repr=False)

    @property
    def relative_norm(self) -> float:
        """Norm of the difference over the base's; infinite for a base of zeros."""
        if not self.base_square:
            return float("inf")
        return (self.diff_square / self.base_square) ** 0.5


@torch.no_grad()
def summed(plan: SumPlan, name: str, totals: Totals) -> Tensor:
    """One parameter of the tuned model, in float32.

    Args:
        plan: Made by `plan_sum`.
        name: The parameter's.
        totals: Added to.
    """
    of_base, of_diff = plan.pairs[name]
    total = torch.empty(plan.shape(name), dtype=torch.float32)
    if name in plan.grown:
        total[:-1] = plan.base.tensor(of_base)
        total[-1] = total[:-1].mean(dim=0)
    else:
        total.copy_(plan.base.tensor(of_base))
    difference = plan.diff.tensor(of_diff)
    for mine, theirs in zip(_blocks(total), _blocks(difference), strict=True):
        totals.base_square += float(mine.double().square().sum())
        totals.diff_square += float(theirs.double().square().sum())
        mine.add_(theirs.to(torch.float32))
        _require_finite(plan, name, mine)
        totals.sum += float(mine.sum(dtype=torch.float64))
    totals.digest.update(f"{name}|{tuple(total.shape)}|".encode())
    for mine in _blocks(total):
        totals.digest.update(mine.numpy().tobytes())
    return total


def _require_finite(plan: SumPlan, name: str, numbers: Tensor) -> None:
    if bool(numbers.isfinite().all()):
        return
    of_base, of_diff = plan.pairs[name]
    raise ModelError(
        f"{plan.diff.files[of_diff]}: base + difference of {name!r} holds a number "
        "that is infinite or none (NaN); needed finite weights; fetch this file "
        f"and the base's ({plan.base.files[of_base]}) again"
    )


def _blocks(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor's numbers in order, some at a time; writing to them writes to it."""
    yield from tensor.contiguous().view(-1).split(_BLOCK)


def summed_parameters(plan: SumPlan, dtype: torch.dtype) -> dict[str, Tensor]:
    """All parameters of the tuned model, each cast as soon as it is summed.

    Raises:
        ModelError: The sum shows that the difference is not one, or not this base's.
    """
    totals = Totals()
    found = {name: summed(plan, name, totals).to(dtype) for name in plan.pairs}
    require_difference(plan, totals)
    return found


def require_difference(
    plan: SumPlan, totals: Totals, *, allow_large: bool = False
) -> None:
    """Refuse what adds up to something else than the authors' tuned model.

    Raises:
        ModelError: The difference is so large that it must be something else, or the
            checksum that comes with it is another.
    """
    relative = totals.relative_norm
    if relative > LARGEST_RELATIVE_NORM and not allow_large:
        raise ModelError(
            f"{plan.diff.folder}: norm of the difference is {relative:.2f} of the "
            f"base's, more than {LARGEST_RELATIVE_NORM}; these look like whole weights"
            ": give the folder as a model, without the base and '+diff:' (or, in "
            "'concord models recover', --allow-large)"
        )
    _require_sum(plan, totals)
    _require_hash(plan, totals)


def _require_sum(plan: SumPlan, totals: Totals) -> None:
    path = plan.diff.folder / CHECKSUM_FILE
    if not path.is_file():
        return
    try:
        wanted = float(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: found no number; fetch it again") from error
    # The authors' sums may take in the buffers that old files hold.
    buffers = sum(
        float(plan.base.tensor(name).sum(dtype=torch.float64))
        for name in plan.skipped
        if name in plan.base.files and name in plan.diff.files
    )
    # They add float32 sums of tensors, one by one, each step with half a last place.
    rounding = abs(wanted) * len(plan.pairs) * 2**-24
    if all(
        not abs(found - wanted) <= CHECKSUM_TOLERANCE + rounding
        for found in (totals.sum, totals.sum + buffers)
    ):
        raise ModelError(
            f"{path}: the tuned model adds up to {totals.sum:.4f}, its authors' to "
            f"{wanted:.4f}; the difference was made from another base: give that one"
        )


def _require_hash(plan: SumPlan, totals: Totals) -> None:
    path = plan.diff.folder / "diff.json"
    wanted = ships_hash(plan.diff.folder)
    if wanted and wanted != totals.digest.hexdigest():
        raise ModelError(
            f"{path}: the sum has SHA-256 {totals.digest.hexdigest()[:12]}..., its "
            f"authors' {wanted[:12]}...; the difference was made from another base, or "
            "a file is damaged: give that base, or fetch both again"
        )


def ships_hash(folder: Path) -> str | None:
    """SHA-256 of the sum, over float32 bytes, where ``diff.json`` gives it."""
    path = folder / "diff.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("sum_sha256")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not JSON ({error}); fetch it again") from error

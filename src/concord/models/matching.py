"""Which tensors of a base and of a published difference belong together.

Names and shapes have to match one to one, with two exceptions. What is no parameter
(old files hold rotary frequencies and masks) is skipped and said. And where the
difference has one embedding row more than the base, the base gets a row for its padding
token first: the mean of its rows, as those who publish such differences do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from concord.errors import ModelError
from concord.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class SumPlan:
    """Which tensors are added to which, settled before a weight is read."""

    base: Checkpoint
    diff: Checkpoint
    model_class: type[PreTrainedModel]
    pairs: Mapping[str, tuple[str, str]]
    """The model's name of a parameter -> its name in base and difference, sorted."""
    grown: frozenset[str]
    """Parameters that get a row for the padding token: the embeddings."""
    skipped: tuple[str, ...]
    """Tensors in the files that are no parameters."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a parameter of the tuned model."""
        return self.diff.shapes[self.pairs[name][1]]


def plan_sum(base: Checkpoint, diff: Checkpoint, config: PretrainedConfig) -> SumPlan:
    """Match the tensors of a base and a difference.

    Args:
        base: The base's files.
        diff: The difference's files.
        config: The base's.

    Raises:
        ModelError: A tensor is in one and not in the other, or shapes do not fit; the
            first is named.
    """
    network = _network_without_weights(config)
    wanted = [name for name, _ in network.named_parameters()]
    in_base, in_diff = (_names(each, wanted, network) for each in (base, diff))
    _require_known(base, diff, in_diff, network)
    _require_all(wanted, in_base, base.folder, "the base")
    _require_all(wanted, in_diff, diff.folder, "the difference")
    pairs = {name: (in_base[name], in_diff[name]) for name in sorted(wanted)}
    grown = _grown(base, diff, pairs, _embeddings(network))
    used = {each for pair in pairs.values() for each in pair}
    skipped = sorted((set(base.files) | set(diff.files)) - used)
    return SumPlan(base, diff, type(network), pairs, grown, tuple(skipped))


def _network_without_weights(config: PretrainedConfig) -> PreTrainedModel:
    family = (
        AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    )
    try:
        with torch.device("meta"):
            return family.from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise ModelError(
            f"the base is of family {config.model_type!r}, which predicts no tokens; "
            "needed a model that writes text"
        ) from error


def _names(
    checkpoint: Checkpoint, wanted: list[str], network: PreTrainedModel
) -> dict[str, str]:
    """The model's names of a checkpoint's tensors -> theirs.

    Files may spell them as another version did, leave out the prefix of the body
    (``model.``), or hold a tied weight under its other name.
    """
    transforms = get_model_conversion_mapping(network)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    tied = dict(getattr(network, "all_tied_weights_keys", None) or {})
    state, prefix = network.state_dict(), network.base_model_prefix
    spelled = {}
    for name in checkpoint.files:
        today, _ = rename_source_key(name, renamings, [], prefix, state)
        spelled[name if name in state else today] = name
    for target, source in tied.items():
        if target in spelled:
            spelled.setdefault(str(source), spelled[target])
    return {name: spelled[name] for name in wanted if name in spelled}


def _require_known(
    base: Checkpoint,
    diff: Checkpoint,
    in_diff: Mapping[str, str],
    network: PreTrainedModel,
) -> None:
    """Refuse tensors of the difference that neither base nor model know."""
    known = {*base.files, *in_diff.values(), *network.state_dict()}
    foreign = [name for name in diff.files if name not in known]
    foreign = [name for name in foreign if not _is_buffer(name)]
    if foreign:
        raise ModelError(
            f"{diff.files[foreign[0]]}: found tensor {foreign[0]!r}, which the base "
            "has not; needed the difference to this base; give the base it was made "
            "from"
        )


def _is_buffer(name: str) -> bool:
    """Whether older versions stored under this name what is computed today."""
    return name.endswith(("inv_freq", "masked_bias", "attn.bias", "attention.bias"))


def _require_all(
    wanted: list[str], found: Mapping[str, str], folder: Path, what: str
) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ModelError(
            f"{folder}: {what} lacks {len(missing)} of the base's {len(wanted)} "
            f"tensors, the first is {missing[0]!r}; fetch it whole"
        )


def _embeddings(network: PreTrainedModel) -> frozenset[str]:
    """Names of the parameters with a row for every token."""
    modules = (network.get_input_embeddings(), network.get_output_embeddings())
    owned = {id(p) for module in modules if module for p in module.parameters()}
    return frozenset(n for n, p in network.named_parameters() if id(p) in owned)


def _grown(
    base: Checkpoint,
    diff: Checkpoint,
    pairs: Mapping[str, tuple[str, str]],
    embeddings: frozenset[str],
) -> frozenset[str]:
    """Embeddings that get the padding token's row.

    Raises:
        ModelError: Shapes differ in any other way.
    """
    grown = set()
    for name, (of_base, of_diff) in pairs.items():
        ours, theirs = base.shapes[of_base], diff.shapes[of_diff]
        if ours == theirs:
            continue
        has_a_row_more = name in embeddings and theirs == (ours[0] + 1, *ours[1:])
        if not has_a_row_more:
            raise ModelError(
                f"{diff.files[of_diff]}: {of_diff!r} has shape {theirs}, the base's is "
                f"{ours}; give the base it was made from"
            )
        grown.add(name)
    if grown and grown != embeddings & set(pairs):
        raise ModelError(
            f"{diff.folder}: only {sorted(grown)} of the embeddings have a row more "
            "than the base's; needed all or none; give the base it was made from"
        )
    return frozenset(grown)

"""Cancelling and patching in a network whose mechanism was written by hand."""

import pytest
import torch
from planted_circuit import (
    FIRST_ATTRIBUTE,
    FIRST_LAST_NAME,
    LAST_NAMES,
    LAYERS,
    planted_network,
    planted_tokenizer,
)

from concord.models.architecture import architecture_of
from concord.models.hooks import Replacement, intervene, record
from concord.models.readout import readout

pytestmark = pytest.mark.usefixtures("inference")
OWN = torch.arange(FIRST_ATTRIBUTE, FIRST_ATTRIBUTE + len(LAST_NAMES))
"""Each subject's attribute."""
SUBLAYERS = ("mhsa", "mlp")


def prompts() -> torch.Tensor:
    """A row for each subject, of equal lengths."""
    texts = [f"the Ada {name} was born in" for name in LAST_NAMES]
    return torch.tensor(planted_tokenizer()(texts)["input_ids"])


def is_best(scores: torch.Tensor) -> list[bool]:
    """Whether each subject's attribute alone scores highest; a tie is no hit."""
    own = scores.gather(1, OWN[:, None])
    return ((scores >= own).sum(dim=1) == 1).tolist()


def attributes_rates(cancelled: dict) -> list[float]:
    """Share of the subjects whose best word at their last token is their attribute.

    One for each of h_0 to h_L, with these updates replaced.
    """
    network = planted_network()
    row, ids = architecture_of(network), prompts()
    at_subject = (ids >= FIRST_LAST_NAME) & (ids < FIRST_LAST_NAME + len(LAST_NAMES))
    place = at_subject.int().argmax(dim=1, keepdim=True)
    states = [("hidden", layer) for layer in range(LAYERS + 1)]
    with (
        intervene(network, row, replace=cancelled),
        record(network, row, states, place) as kept,
    ):
        network(ids)
    hits = [
        is_best(readout(network, row, kept[state][:, 0], norm=False))
        for state in states
    ]
    return [sum(own) / len(own) for own in hits]


def test_only_the_mlp_of_block_1_enriches():
    whole = [0.0, 0.0] + [1.0] * 5
    assert attributes_rates({}) == whole
    for layer in range(LAYERS):
        assert attributes_rates({("mhsa", layer): Replacement()}) == whole
        without = attributes_rates({("mlp", layer): Replacement()})
        assert without == ([0.0] * 7 if layer == 1 else whole)
    every = {("mhsa", layer): Replacement() for layer in range(LAYERS)}
    assert attributes_rates(every) == whole


def test_only_attention_of_block_4_restores_the_prediction_of_the_twin():
    source, twin = planted_network(), planted_network(has_extraction=False)
    row, ids = architecture_of(source), prompts()
    last = torch.full((len(ids), 1), ids.shape[1] - 1)
    sites = [(kind, layer) for kind in SUBLAYERS for layer in range(LAYERS)]
    with record(source, row, sites, last) as kept:
        own = source(ids).logits[:, -1]
    assert is_best(own) == [True] * len(ids)
    assert not any(is_best(twin(ids).logits[:, -1]))
    for site in sites:
        with intervene(twin, row, replace={site: Replacement(kept[site], last)}):
            patched = twin(ids).logits[:, -1]
        assert is_best(patched) == [site == ("mhsa", 4)] * len(ids)
        if site == ("mhsa", 4):
            assert torch.equal(patched, own)


def test_the_last_state_put_into_the_twin_gives_this_models_logits():
    """Final norm and unembedding are shared, so nothing else is left to differ."""
    source, twin = planted_network(), planted_network(has_extraction=False)
    row, ids = architecture_of(source), prompts()
    last = torch.full((len(ids), 1), ids.shape[1] - 1)
    state = ("hidden", LAYERS)
    with record(source, row, [state], last) as kept:
        own = source(ids).logits[:, -1]
    with intervene(twin, row, replace={state: Replacement(kept[state], last)}):
        patched = twin(ids).logits[:, -1]
    assert torch.equal(patched, own)
    assert not torch.equal(twin(ids).logits[:, -1], own)

"""Passes of the tiny models, whichever way they are built."""

from concord.models.architecture import architecture_of
from concord.models.readout import decoder_states, encoder_states, final_states

PADDINGS = ("none", "left", "right")


def run(network, ids, mask):
    """Final states; the decoder of an encoder-decoder reads the first five ids."""
    architecture = architecture_of(network)
    if architecture.encoder is None:
        return final_states(network, architecture, ids, mask)
    encoded = encoder_states(network, architecture, ids, mask)
    return decoder_states(network, architecture, ids[:, :5], encoded, mask)

"""What a loaded network is: a model of transformers, or one with an adapter on it."""

from typing import TYPE_CHECKING

from peft import PeftModel
from transformers import PreTrainedModel

# A PEFT model passes everything on to the network it wraps, of which type checkers,
# who cannot see that, are told alone.
if TYPE_CHECKING:
    Network = PreTrainedModel
else:
    Network = PreTrainedModel | PeftModel

"""What tests of models share: passes without gradients."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def inference() -> Iterator[None]:
    """Every pass of the test is for inference alone."""
    with torch.inference_mode():
        yield

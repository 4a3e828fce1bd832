"""What all tests share: real data, a small study, and one thread for each worker."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from small_study import write_data, write_model, write_tuned

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights beside the repository, where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the folder of real data beside the repository ({SHARED})")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes and types go unchecked: for calls that no type checker would let pass."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaMA with its tokenizer."""
    return write_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def tuned_folder(base_folder: Path) -> Path:
    """A model near the base."""
    return write_tuned(base_folder, base_folder.parent / "tuned")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny data sets in the public formats."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def settings(base_folder: Path, tuned_folder: Path, data_dir: Path) -> dict[str, Any]:
    """A study of the tiny models on the tiny data."""
    return {
        "base": str(base_folder),
        "tuned": [str(tuned_folder)],
        "data_dir": str(data_dir),
        "statistics": {"replicates": 100, "permutations": 100},
    }

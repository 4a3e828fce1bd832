"""An artificial run and its summary, made once for all that read them."""

import pytest
from summarised_run import FAST
from synthetic_run import write_synthetic_run

from concord.results import Run
from concord.summary import Summary, summarise


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_synthetic_run(tmp_path_factory.mktemp("run"), relations=3, facts=20)


@pytest.fixture(scope="session")
def summary(run: Run) -> Summary:
    return summarise(run, FAST)

"""Several Ray nodes on this machine, one of which is lost on the way."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worker_analyses
from inline_pool import require_same_rows

from concord.analyses import ANALYSES
from concord.compare import compare
from concord.errors import ResultsError, StudyError
from concord.parallel import ray_cluster
from concord.parallel.events import Advanced, Finished, Lost
from concord.parallel.jobs import Job
from concord.parallel.ray_cluster import (
    Measurer,
    RayActors,
    even_share,
    import_ray,
    require_shared,
)
from concord.results import Run
from concord.study import resolve_study

OWN: dict[str, Any] = {
    **ANALYSES,
    "facts": worker_analyses.facts_in_small_parts,
    "waits": worker_analyses.waits_in_the_middle,
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A head without CPUs and two nodes of one CPU each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    place = str(Path(worker_analyses.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", place)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CONCORD_TEST_MARKER", str(tmp_path / "killed"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # By default last of all programs.
    small = {"object_store_memory": 100 * 1024**2}
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **small},
    )
    try:
        made.add_node(num_cpus=1, **small)
        victim = made.add_node(num_cpus=1, **small)
        made.wait_for_nodes(timeout=120)
        monkeypatch.setenv("RAY_ADDRESS", made.address)
        yield made, victim
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
def test_a_lost_nodes_shares_are_measured_by_the_other(
    cluster: Any, settings: dict[str, Any], tmp_path: Path
):
    """The rows are those of one process, though a node was killed in the middle."""
    import torch

    torch.set_num_threads(1)
    changes = {"analyses": ["waits", "facts"], "facts": {"noise_prompts": 0}}
    study = resolve_study(settings, changes, {"executor": "ray"})
    output = tmp_path / "run"
    made, victim = cluster
    killed: list[int] = []
    end = threading.Event()

    def kill_a_node_on_the_way() -> None:
        """As soon as both nodes are at work, each on its model."""
        folders = [output / "rows" / "waits" / model for model in ("base", "tuned")]
        while not end.is_set():
            counts = [len(list(folder.glob("part-*.parquet"))) for folder in folders]
            if min(counts) >= 2:
                made.remove_node(victim, allow_graceful=False)
                killed.append(sum(counts))
                (tmp_path / "killed").touch()
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_a_node_on_the_way)
    killer.start()
    try:
        run = compare(study, output, analyses=OWN)
    finally:
        end.set()
        killer.join()
    assert killed == [4]
    for model in ("base", "tuned"):
        assert len(run.parts("waits", model)) == worker_analyses.PART_COUNT
    processes = {
        value
        for path in (output / "rows" / "waits").rglob("*.parquet")
        for value in worker_analyses.processes_in(path)
    }
    assert len(processes) >= 2 and os.getpid() not in processes
    again = resolve_study(settings, {**changes, "analyses": ["facts"]})
    alone = compare(again, tmp_path / "alone", analyses=OWN)
    for path in (run.path / "rows" / "waits").rglob("*"):
        path.is_file() and path.unlink()
    require_same_rows(run, alone)


class Calls:
    """Stands for ray in one process: what was put has not arrived until it is got."""

    def __init__(self) -> None:
        self.arrived: list[Any] = []
        self.put = self
        self.sent: list[Any] = []

    def remote(self, worker: int, generation: int, event: Any) -> int:
        self.sent.append(event)
        return len(self.sent)

    def get(self, reply: int) -> None:
        self.arrived = self.sent[:reply]


def test_a_job_ends_only_when_all_it_told_has_arrived(monkeypatch: pytest.MonkeyPatch):
    class Working:
        def __init__(self, assignment: Any, send: Any) -> None:
            self.send = send

        def measure(self, job: Any, budgets: Any) -> None:
            self.send(Advanced(3))
            self.send(Finished(1.0))

    calls = Calls()
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: calls)
    measurer = Measurer.__new__(Measurer)
    measurer._put = lambda event: calls.put.remote(0, 0, event)
    working: Any = Working(None, measurer._tell)
    measurer._worker = working
    measurer.measure(Job("base", "facts"), {})
    assert calls.arrived == [Advanced(3), Finished(1.0)]


def pool_whose_reply(error: Exception) -> RayActors:
    """A pool of which worker 1 has answered with an error, and worker 0 not at all."""
    ray = pytest.importorskip("ray")

    def fail(reply: str) -> None:
        raise error

    pool = RayActors.__new__(RayActors)
    pool._ray = type("Ray", (), {"exceptions": ray.exceptions, "get": fail})
    pool._pending = {"reply": 1, "other": 0}
    pool._ready = {0, 1}
    return pool


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RayActorError", ()),
        ("WorkerCrashedError", ()),
        ("RaySystemError", ("gone\nfor good",)),
        ("NodeDiedError", ("gone\nfor good",)),
    ],
)
def test_an_actor_that_cannot_answer_is_lost_however_ray_says_it(
    name: str, words: tuple[str, ...]
):
    exceptions = pytest.importorskip("ray.exceptions")
    pool = pool_whose_reply(getattr(exceptions, name)(*words))
    ((worker, event),) = pool._ended("reply")
    assert worker == 1 and isinstance(event, Lost) and event.reason
    assert "\n" not in event.reason
    assert pool._pending == {"other": 0} and pool._ready == {0}


def test_a_bug_inside_an_actor_is_shown():
    exceptions = pytest.importorskip("ray.exceptions")
    bug = exceptions.RayTaskError("measure", "the trace", KeyError("x"))
    with pytest.raises(exceptions.RayTaskError):
        pool_whose_reply(bug)._ended("reply")


def test_a_node_that_does_not_see_the_run_is_named(tmp_path: Path):
    with pytest.raises(ResultsError, match="one file system that all nodes share"):
        require_shared(tmp_path, Run(tmp_path / "elsewhere"))


def test_ray_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudyError, match=r"pip install 'concord\[cluster\]'"):
        import_ray()


def test_fewer_workers_than_gpus_get_several_each():
    nodes = [{"Resources": {"CPU": 64, "GPU": 8}}, {"Resources": {"CPU": 64, "GPU": 8}}]
    head = {"Resources": {"CPU": 4}}
    assert even_share([head, *nodes], "GPU", 16) == 1
    assert even_share([head, *nodes], "GPU", 8) == 2
    assert even_share([head, *nodes], "GPU", 1) == 8  # No actor spans two nodes.
    assert even_share([head, *nodes], "CPU", 8) == 4  # The head may take one too.
    assert even_share([head], "CPU", 9) == 1

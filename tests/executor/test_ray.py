"""Boots on a real Ray cluster of this machine: workers in processes of their own, one of them killed on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.scripted_runs import suite
from executor.remote import Script
from kvassay import host
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.errors import BootFailed, ConfigError
from kvassay.executor.base import Executor
from kvassay.executor.local import LOCAL
from kvassay.executor.nodes import Wish
from kvassay.executor.on_ray import Cluster, cluster_at
from kvassay.settings import check

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Ray is tested on Linux")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster with room for three boots, no dashboard, nothing sent anywhere."""
    from ray.cluster_utils import Cluster as Processes  # noqa: PLC0415  only where Ray is

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    started = {"num_cpus": 3, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    try:
        processes = Processes(initialize_head=True, head_node_args=started)
    except Exception as error:  # noqa: BLE001  what Ray raises where a busy machine lets it start too slowly
        pytest.skip(f"Ray did not start here: {error}")
    yield processes.address
    processes.shutdown()


@pytest.fixture(scope="module")
def cluster(address: str) -> Iterator[Cluster]:
    """The same as the product sees it; what these tests send to workers is pickled by value."""
    import executor.remote  # noqa: PLC0415

    with cluster_at(address, Wish(cpus=1)) as found:
        ray.cloudpickle.register_pickle_by_value(executor.remote)
        yield found


def measured(folder: Path, recipe: Script, executor: Executor) -> set[tuple[object, ...]]:
    """What a run says of each trial, times and boots apart."""
    with Store(folder / "s.sqlite", write=True) as store:
        values = {"pairs": "q4_0/q4_0", "suite": str(suite(folder)), "stopping": "fixed", "evidence_probes": 1}
        wanted = check(values)
        arms, questions = arms_of(wanted, LLAMA_TYPES), questions_of(wanted)
        backend = executor.backend(recipe)  # type: ignore[arg-type]  # a recipe of the tests
        finished = run(Job(wanted, backend, Sample("scripted"), arms, questions, store, executor=executor))
        _check_boots(finished, executor)
        return {(t.key, t.turn.text, t.outcome, t.prompt_sha256) for t in finished.trials()}


def _check_boots(finished: StoredRun, executor: Executor) -> None:
    for boot in finished.boots():
        named = boot.facts.devices == (host.machine(gpu_ids=()).entry,)
        assert named == (executor is not LOCAL)


def test_a_run_on_workers_of_which_one_is_killed_finds_what_a_local_one_does(cluster: Cluster, tmp_path: Path) -> None:
    """The reference's worker dies by SIGKILL in the middle of its fifth answer. Every trial is there once and equal,
    that one request was made twice and the second boot measured its own floor, arms were asked in processes of their
    own, and each boot names its host.
    """
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    calm, doomed = Script(here / "asked"), Script(there / "asked", doomed_after=5)
    assert measured(there, doomed, cluster.executor()) == measured(here, calm, LOCAL)
    asked = [line.split(" ", 1) for line in doomed.asked.read_text().splitlines()]
    assert len(asked) == len(calm.asked.read_text().splitlines()) + 2
    by_arm = {arm: {pid for pid, other in asked if other == arm} for _, arm in asked}
    assert len(by_arm["f16/f16"]) == 2
    assert len({pid for pids in by_arm.values() for pid in pids}) == len(by_arm) + 1
    assert str(os.getpid()) not in {pid for pid, _ in asked}


def test_a_servers_own_error_comes_back_by_name_and_says_where(cluster: Cluster, tmp_path: Path) -> None:
    """Its class and hint, without the worker's traceback around it."""
    with pytest.raises(BootFailed, match="no memory") as caught:
        measured(tmp_path, Script(tmp_path / "asked", refuses=True), cluster.executor())
    assert caught.value.hint == "Use less."
    assert caught.value.message.startswith(f"{host.host()['node']}: ")


def test_the_manifest_states_the_hardware_of_the_boots(cluster: Cluster) -> None:
    """On this machine, without GPUs: what a local run states."""
    assert cluster.hardware == host.hardware()
    assert cluster.share.cpus == 1


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    """With what to do about it; Ray itself would try for minutes."""
    with (
        pytest.raises(ConfigError, match=r"no Ray cluster at '127\.0\.0\.1:1'") as caught,
        cluster_at("127.0.0.1:1", Wish()),
    ):
        pass
    assert "ray start --head" in caught.value.hint


def test_a_share_that_the_cluster_has_not_is_refused(address: str) -> None:
    """In a process of its own: one driver speaks to one cluster."""
    command = [sys.executable, "-m", "kvassay", "run", "smollm2-135m", "--kv", "q4_0/q4_0", "--executor", "ray",
               "--ray-address", address, "--cpus-per-boot", "99"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "no machine of the cluster can hold a boot of 99 CPUs and 0 GPUs" in done.stderr
    assert "Traceback" not in done.stderr

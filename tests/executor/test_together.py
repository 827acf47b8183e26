"""Arms asked at the same time, lost workers and unlike machines, on the scripted back end: Ray itself is not needed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cli.scripted_cli import answer
from cli.scripted_runs import suite
from kvassay import host
from kvassay.assay import events
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store, Usage
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Boot, Listener, silent
from kvassay.backend.llama_server import LlamaServer
from kvassay.backend.scripted import Scripted, ScriptedBoot
from kvassay.backend.transformers import Transformers
from kvassay.errors import ConfigError, Interrupted, ServerDied, StoreError, StoreMismatch, WorkerLost
from kvassay.executor.local import LOCAL
from kvassay.executor.nodes import Share
from kvassay.executor.on_ray import RETRIES, Cluster, RayExecutor
from kvassay.executor.recipe import Recipe
from kvassay.model.catalog import CATALOG
from kvassay.model.folder import read_folder
from kvassay.model.resolve import resolve
from kvassay.settings import RunSettings, check
from kvassay.types import Arm, BootFacts
from model.model_fixtures import small_gguf

GONE = WorkerLost("the worker was lost")


def together() -> RayExecutor:
    """The executor's order and threads, over whatever back end a job has."""
    return RayExecutor(Cluster(Share(0, 1), host.hardware()))


def settings(folder: Path, **changes: object) -> RunSettings:
    """Eight stand-alone cases; each a raw trial and, for a quarter of them, two of the chat endpoint."""
    values = {"pairs": "q4_0/q4_0", "suite": str(suite(folder)), "parsed_share": 0.25, "evidence_probes": 1,
              "stopping": "fixed", "isolate": False}  # fmt: skip
    return check({**values, **changes})


def job(store: Store, backend: Scripted, executor: RayExecutor | None = None, **parts: object) -> Job:
    wanted = parts.pop("settings", None) or settings(store.path.parent)
    assert isinstance(wanted, RunSettings)
    arms = arms_of(wanted, backend.cache_types)
    sample, questions = Sample("scripted"), questions_of(wanted)
    return Job(wanted, backend, sample, arms, questions, store, executor=executor or LOCAL, **parts)  # type: ignore[arg-type]


def found(finished: StoredRun) -> set[tuple[object, ...]]:
    """All that a run says of each trial, times and boots apart."""
    whole = (finished.trial(trial.key) for trial in finished.trials())
    return {
        (t.key, t.turn.text, t.outcome, t.prompt_sha256, t.prompt_tokens, t.positions, t.tokens)
        for t in whole
        if t is not None
    }


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[object, ...]]:
    """What the local executor finds."""
    path = tmp_path_factory.mktemp("local") / "s.sqlite"
    with Store(path, write=True) as store:
        return found(run(job(store, Scripted(answer))))


@pytest.mark.parametrize("faults", [(), (2, 3), (17, 20, 24)])
def test_lost_workers_change_nothing_that_is_found(
    tmp_path: Path, one_by_one: set[tuple[object, ...]], faults: tuple[int, ...]
) -> None:
    """Whoever loses a worker, the reference or an arm among others, every trial is there once, the same as one by one
    on this machine; the lost boots stand in the store with their error.
    """
    seen: list[events.Event] = []
    backend = Scripted(answer, faults=dict.fromkeys(faults, GONE))
    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(job(store, backend, together(), observe=seen.append))
        assert found(finished) == one_by_one
        ended = [event.trial.key for event in seen if isinstance(event, events.TrialEnded)]
        assert len(ended) == len(set(ended)) == len(finished.done())
        lost = [boot for boot in finished.boots() if boot.error]
        assert {boot.error for boot in lost} <= {GONE.message}
        assert len(lost) == sum(isinstance(event, events.BootLost) for event in seen) == len(faults)
        assert finished.record.finished_at is not None


def test_a_late_duplicate_is_refused(tmp_path: Path) -> None:
    """Whoever may bring a trial a second time, the store keeps the first."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(job(store, Scripted(answer), together()))
        before = found(finished)
        trial = next(finished.trials())
        with pytest.raises(StoreError, match="UNIQUE constraint"):
            store.add_trial(finished, replace(trial, wall_s=9.0), Usage())
        assert found(finished) == before


def test_a_worker_that_is_always_lost_ends_the_run_and_what_was_measured_stays(tmp_path: Path) -> None:
    """After RETRIES new boots the loss is an error like any other, and the run can be resumed."""
    path = tmp_path / "s.sqlite"
    backend = Scripted(answer, refused={"q4_0/q4_0": GONE})
    seen: list[events.Event] = []
    with Store(path, write=True) as store, pytest.raises(WorkerLost):
        run(job(store, backend, together(), observe=seen.append))
    assert sum(isinstance(event, events.BootLost) for event in seen) == RETRIES
    with Store(path, write=True) as store:
        before = store.run()
        assert {key.arm for key in before.done()} >= {"f16/f16"}
        finished = run(job(store, Scripted(answer), together()), resume=before)
        assert {arm.label for arm in finished.record.manifest.design.arms} == {key.arm for key in finished.done()}


def test_with_keep_going_only_the_lost_arm_is_left_out(tmp_path: Path) -> None:
    """The others are measured, as on one machine."""
    backend = Scripted(answer, refused={"q4_0/q4_0": GONE})
    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(job(store, backend, together(), keep_going=True))
        assert {key.arm for key in finished.done()} == {"f16/f16", "f16/f16 #2"}


def test_another_fault_is_not_retried(tmp_path: Path) -> None:
    """A server that died by itself would die again: it is said at once."""
    backend = Scripted(answer, faults={20: ServerDied("out of memory")})
    with Store(tmp_path / "s.sqlite", write=True) as store, pytest.raises(ServerDied, match="out of memory"):
        run(job(store, backend, together()))


def test_the_reference_is_asked_to_its_end_before_any_other_arm_begins(tmp_path: Path) -> None:
    """The others are judged against it while they run."""
    seen: list[events.Event] = []
    with Store(tmp_path / "s.sqlite", write=True) as store:
        run(job(store, Scripted(answer), together(), observe=seen.append))
    arms = [event.trial.key.arm for event in seen if isinstance(event, events.TrialEnded)]
    assert "f16/f16" not in arms[arms.count("f16/f16") :]


def test_the_stopping_rule_ends_rungs_where_it_does_one_by_one(tmp_path: Path) -> None:
    """It looks at complete pairs in the drawn order, so that the same trials are spared."""
    wanted = settings(tmp_path, stopping="anytime", parsed_share=0.0, evidence_probes=0)
    keys = []
    for name, executor in (("local", None), ("together", together())):
        with Store(tmp_path / name, write=True) as store:
            keys.append(run(job(store, Scripted(answer), executor, settings=wanted)).done())
    assert keys[0] == keys[1]
    assert sum(key.arm == "q4_0/q4_0" for key in keys[0]) == 6  # six lost pairs show harm


def test_a_stop_ends_every_arm_between_two_trials(tmp_path: Path) -> None:
    """Nothing is lost, and resuming finds the whole."""
    seen: list[events.Event] = []

    def stop() -> bool:
        return sum(isinstance(event, events.TrialEnded) for event in seen) >= 15

    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(Interrupted):
            run(job(store, Scripted(answer), together(), observe=seen.append, stop=stop))
        assert len(store.run().done()) == 15
        finished = run(job(store, Scripted(answer), together()), resume=store.run())
        assert len(finished.done()) > 15


class Hosted(Scripted):
    """Boots that say on which machine they are, as those on workers do."""

    def __init__(self, where: Callable[[Arm], tuple[str, ...]]) -> None:
        super().__init__(answer)
        self.where = where

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        del listener
        return HostedBoot(self, arm, context_tokens)


class HostedBoot(ScriptedBoot):
    """One of them."""

    @property
    def facts(self) -> BootFacts:
        assert isinstance(self._backend, Hosted)
        return replace(super().facts, devices=self._backend.where(self._arm))


def test_each_boot_names_its_host_in_a_store_of_the_same_format(tmp_path: Path) -> None:
    """Among its devices, where any reader of the format finds it."""

    def where(arm: Arm) -> tuple[str, ...]:
        return (host.Machine(f"node-{len(arm.label)}", "Xeon", 64, 512).entry, "CUDA0: H100")

    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(job(store, Hosted(where), together()))
        assert [boot.facts.devices for boot in finished.boots() if boot.arm == "f16/f16 #2"] == [
            ("host node-10: Xeon · 64 cores", "CUDA0: H100")
        ]
    with sqlite3.connect(tmp_path / "s.sqlite") as db:
        assert db.execute("select count(*) from boots where facts like '%host node-%'").fetchone() == (3,)


@pytest.mark.parametrize("odd", [("host b: EPYC · 64 cores", "CUDA0: H100"), ("host b: Xeon · 64 cores", "CUDA0: L4")])
def test_a_boot_on_other_hardware_is_refused_before_it_is_asked(tmp_path: Path, odd: tuple[str, ...]) -> None:
    """Another machine, or another device by the server's own word; the message has both, and no trial is stored."""

    def where(arm: Arm) -> tuple[str, ...]:
        return odd if arm.label == "q4_0/q4_0" else ("host a: Xeon · 64 cores", "CUDA0: H100")

    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(StoreMismatch, match="host b: ") as caught:
            run(job(store, Hosted(where), together()))
        assert "host a: Xeon · 64 cores" in str(caught.value)
        assert not any(key.arm == "q4_0/q4_0" for key in store.run().done())


def test_what_can_not_be_placed_is_refused() -> None:
    """Running servers, and one port for boots that may share a machine; threads are what a boot has CPUs."""
    executor = RayExecutor(Cluster(Share(0, 6), "hardware", threading.Event()))
    with pytest.raises(ConfigError, match="servers of yours"):
        executor.fit(check({"attach": "f16/f16=http://a", "backend": "attach"}))
    with pytest.raises(ConfigError, match="--port 8080"):
        executor.fit(check({"pairs": "q4_0/q4_0", "port": 8080}))
    assert executor.fit(check({"pairs": "q4_0/q4_0"})).threads == 6
    assert executor.fit(check({"pairs": "q4_0/q4_0", "threads": 2})).threads == 2


def test_relative_paths_mean_on_a_worker_what_they_mean_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's working directory is another one: model and binary are looked for where the user's words point."""
    (tmp_path / "tiny.gguf").write_bytes(small_gguf())
    monkeypatch.chdir(tmp_path)
    executor = RayExecutor(Cluster(Share(0, 6), "hardware", threading.Event()))
    asked = {"pairs": "q4_0/q4_0", "backend": "llama-server", "server_binary": "bin/llama-server"}
    settings = executor.fit(check(asked))
    recipe = Recipe(settings, resolve("tiny.gguf"), tmp_path / "logs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    backend = recipe.there(silent)
    assert isinstance(backend, LlamaServer)
    assert (backend.model_path, backend.binary) == (tmp_path / "tiny.gguf", str(tmp_path / "bin" / "llama-server"))
    assert executor.fit(check({**asked, "server_binary": "llama-server"})).server_binary == "llama-server"


def test_a_folder_with_a_catalogues_name_stays_that_folder_on_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the folder wins over the catalogue where a back end takes one; so it does there."""
    name = next(iter(CATALOG))
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(check({"pairs": "q4_0/q4_0", "backend": "transformers"}), read_folder(name), tmp_path / "logs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    backend = recipe.there(silent)
    assert isinstance(backend, Transformers)
    assert backend.model_path == tmp_path / name

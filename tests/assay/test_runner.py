"""The run as a whole, on the scripted back end: what is stored, what it costs, how it goes on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvassay.assay import events
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Boot, Listener, Progress, silent
from kvassay.backend.scripted import Scripted, ScriptedBoot
from kvassay.errors import ConfigError, Interrupted, PairRefused, ServerDied, StoreMismatch
from kvassay.report import write_reports
from kvassay.settings import RunSettings, check
from kvassay.types import Arm, BootFacts, Channel

PROSE = "I would rather not call a tool."


def settings(**changes: object) -> RunSettings:
    values = {"pairs": "q4_0/f16", "isolate": False, "depths": "8k,10k", "probes_per_family": 2, "parsed_share": 0.5,
              "evidence_probes": 0}  # fmt: skip
    return check({**values, **changes})


def job(
    store: Store, wanted: RunSettings, script: Callable[[str, Arm], str] = lambda _prompt, _arm: PROSE, **parts: object
) -> Job:
    backend = parts.pop("backend", None) or Scripted(script)
    assert isinstance(backend, Scripted)
    arms = arms_of(wanted, backend.cache_types)
    return Job(wanted, backend, Sample("scripted"), arms, questions_of(wanted), store, **parts)  # type: ignore[arg-type]


def stored(tmp_path: Path, wanted: RunSettings, **parts: object) -> StoredRun:
    return run(job(Store(tmp_path / "s.sqlite", write=True), wanted, **parts))


def test_every_arm_is_asked_the_same_prompts_once(tmp_path: Path) -> None:
    """All arms hold the same keys and, key by key, the same prompt hash."""
    finished = stored(tmp_path, settings())
    prompts: dict[str, dict[tuple[int, str, Channel], str]] = {}
    for trial in finished.trials():
        key = (trial.key.depth, trial.key.probe, trial.key.channel)
        prompts.setdefault(trial.key.arm, {})[key] = trial.prompt_sha256
    assert set(prompts) == {"f16/f16", "q4_0/f16", "f16/f16 #2"}
    assert prompts["f16/f16"] == prompts["q4_0/f16"] == prompts["f16/f16 #2"]
    assert len(prompts["f16/f16"]) > 2 * 2 * 5
    assert finished.record.finished_at is not None


def test_the_ladder_processes_little_more_than_its_lower_bound(tmp_path: Path) -> None:
    """With a one-slot prompt cache, processed tokens stay within 1.10 of the bound on every boot."""
    for boot in stored(tmp_path, settings()).boots():
        assert 0.9 * boot.bound_tokens <= boot.processed_tokens <= 1.10 * boot.bound_tokens


def test_cases_that_stand_alone_have_a_lower_bound_of_their_own(tmp_path: Path) -> None:
    """What a case shares with the one before it comes from the cache: nothing beats the bound."""
    rules = {"role": "system", "content": "Answer in one word, and call a tool only where one is named. " * 30}
    cases = [
        {"id": str(n), "messages": [rules, {"role": "user", "content": f"{n} or {n + 1}?"}], "tools": [],
         "expected": "no call"}
        for n in range(4)
    ]  # fmt: skip
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    for boot in stored(tmp_path, settings(suite=tmp_path / "s.jsonl", channels="raw")).boots():
        assert boot.bound_tokens <= boot.processed_tokens <= 1.10 * boot.bound_tokens


def test_depths_are_hit_within_two_percent_and_prefixes_grow(tmp_path: Path) -> None:
    """Each rung's prefix is a prefix of the next one's and as long as asked, in the server's own tokens."""
    session = stored(tmp_path, settings()).session()
    first, second = session.rungs
    assert second.prefix_text.startswith(first.prefix_text[:-40])
    for rung in session.rungs:
        assert abs(rung.prompt_tokens - rung.depth) <= 0.02 * rung.depth


def test_a_server_that_dies_loses_nothing_and_the_run_goes_on(tmp_path: Path) -> None:
    """The error is raised by name, finished trials are stored, and resuming asks only what is missing."""
    wanted, path = settings(), tmp_path / "s.sqlite"
    with Store(path, write=True) as store, pytest.raises(ServerDied):
        run(job(store, wanted, backend=Scripted([PROSE], faults={9: ServerDied("gone")})))
    with Store(path, write=True) as store:
        before = store.run()
        assert before.record.finished_at is None
        assert before.boots()[0].error == "gone"
        seen: list[events.Event] = []
        finished = run(job(store, wanted, observe=seen.append), resume=before)
        again = sum(isinstance(event, events.TrialEnded) for event in seen)
        (prepared,) = [event for event in seen if isinstance(event, events.Prepared)]
        assert prepared.done > 0
        assert prepared.done + again == prepared.total == len(finished.done())


def stopped_after(store: Store, wanted: RunSettings, trials: int) -> StoredRun:
    """A run whose user asks for a stop during its n-th trial."""
    seen: list[events.Event] = []

    def stop() -> bool:
        return sum(isinstance(event, events.TrialEnded) for event in seen) >= trials

    with pytest.raises(Interrupted):
        run(job(store, wanted, observe=seen.append, stop=stop))
    return store.run()


def test_a_stop_between_trials_keeps_what_was_measured(tmp_path: Path) -> None:
    """When asked to stop, the run ends with Interrupted after the trial under way."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        assert len(stopped_after(store, settings(), 5).done()) == 5


def test_a_stop_is_heeded_while_a_server_starts(tmp_path: Path) -> None:
    """Nobody waits for a model to load, or for a long prompt, that won't be used."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(Interrupted):
            run(job(store, settings(), stop=lambda: True))
        assert store.runs() == ()


def test_a_run_is_never_resumed_under_another_design(tmp_path: Path) -> None:
    """Every differing field is named with both values, and nothing is run."""
    cases = suite(tmp_path, depth=None)
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = stopped_after(store, settings(suite=cases), 1)
        changed = settings(suite=cases, seed=7, depths="9k", top_n=3, repeat=False)
        with pytest.raises(StoreMismatch) as caught:
            run(job(store, changed), resume=before)
        for line in ("seed: 0 in the store, 7 now", "depths: [8192, 10240] in the store, [9216] now",
                     "top_n: 20 in the store, 3 now", "arms: ("):  # fmt: skip
            assert line in str(caught.value)
        assert len(store.run().done()) == 1


def test_a_refused_pair_ends_the_run_unless_it_shall_keep_going(tmp_path: Path) -> None:
    """By default the named error stops the run; with keep_going the other arms are measured."""
    backend = Scripted([PROSE], refused={"q4_0/f16": PairRefused("no")})
    with Store(tmp_path / "a.sqlite", write=True) as store, pytest.raises(PairRefused):
        run(job(store, settings(), backend=backend))
    with Store(tmp_path / "b.sqlite", write=True) as store:
        finished = run(job(store, settings(), backend=backend, keep_going=True))
        assert {key.arm for key in finished.done()} == {"f16/f16", "f16/f16 #2"}
        assert [(boot.arm, boot.error) for boot in finished.boots()] == [
            ("f16/f16", None), ("q4_0/f16", "no"), ("f16/f16 #2", None),
        ]  # fmt: skip
        verdict = verdict_of(finished)
        assert any(note.startswith("Not run: q4_0/f16") for note in verdict.notes)
        assert "Not run: q4_0/f16" in write_reports(finished, verdict, tmp_path).html.read_text()


class ToldBoot(ScriptedBoot):
    """A server of the user's whose model and build depend on the arm."""

    told: Callable[[Arm], dict[str, str]]

    @property
    def facts(self) -> BootFacts:
        return replace(super().facts, stated_by_user=True, **self.told(self._arm))


class Told(Scripted):
    """Opens servers that tell of themselves what ``told`` says."""

    def __init__(self, told: Callable[[Arm], dict[str, str]]) -> None:
        super().__init__([PROSE])
        self.told = told

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        listener(Progress("ready"))
        boot = ToldBoot(self, arm, context_tokens)
        boot.told = self.told
        return boot


def test_servers_of_another_build_or_model_are_never_compared(tmp_path: Path) -> None:
    """Both are named; the same model under another folder is the same."""
    wanted = settings(suite=suite(tmp_path, depth=None))
    with Store(tmp_path / "a.sqlite", write=True) as store, pytest.raises(StoreMismatch, match=r"b1.*in the store.*b2"):
        run(job(store, wanted, backend=Told(lambda arm: {"build": "b1" if arm.kv.k == "f16" else "b2"})))
    models = {"f16": "/here/a.gguf", "q4_0": "/here/b.gguf"}
    with Store(tmp_path / "b.sqlite", write=True) as store, pytest.raises(StoreMismatch, match=r"b\.gguf.*a\.gguf"):
        run(job(store, wanted, backend=Told(lambda arm: {"model_path": models[arm.kv.k]})))
    folders = {"f16": "/here/a.gguf", "q4_0": "C:\\there\\a.gguf"}
    with Store(tmp_path / "c.sqlite", write=True) as store:
        run(job(store, wanted, backend=Told(lambda arm: {"model_path": folders[arm.kv.k]})))


def suite(tmp_path: Path, *, depth: int | None) -> Path:
    tool = {"name": "get", "description": "Get a number", "parameters": {
        "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}}  # fmt: skip
    lines = [
        {"id": f"case-{n}", "messages": [{"role": "user", "content": f"Get number {n}."}],
         "tools": [{"type": "function", "function": tool}], "expected": [[{"name": "get", "arguments": {"id": [n]}}]],
         **({"depth": depth} if depth else {})}
        for n in range(12)
    ]  # fmt: skip
    path = tmp_path / f"cases-{depth}.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def obliging(prompt: str, arm: Arm) -> str:
    number = prompt.rpartition("Get number ")[2].partition(".")[0]
    call = f'{{"name": "get", "arguments": {{"id": {number if arm.kv.k == "f16" else 99}}}}}'
    return f"<tool_call>\n{call}\n</tool_call>"


@pytest.mark.parametrize("depth", [None, 8192])
def test_a_suite_runs_alone_or_at_a_depth_and_is_judged(tmp_path: Path, depth: int | None) -> None:
    """A reference that is always right and a K that is always wrong give the verdict K."""
    wanted = settings(suite=suite(tmp_path, depth=depth), channels="raw", depths="8k")
    finished = stored(tmp_path, wanted, script=obliging)
    assert {key.depth for key in finished.done()} == {depth or 0}
    right = dict.fromkeys(("f16/f16", "q4_0/f16", "f16/f16 #2"), 0)
    for trial in finished.trials():
        right[trial.key.arm] += trial.outcome.correct
    assert right == {"f16/f16": 12, "q4_0/f16": 0, "f16/f16 #2": 12}
    assert "K" in verdict_of(finished).headline


def test_prompts_longer_than_the_context_are_refused_before_trial_1(tmp_path: Path) -> None:
    """The message names the probe and the context it would need; the store holds no run."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(ConfigError, match="--context"):
            run(job(store, settings(context=9000)))
        assert store.runs() == ()

"""A recorded session through the one runner, on the scripted back end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kvassay.assay import events
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.prompts import history_of
from kvassay.assay.recorded import context_for
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Boot, Listener, Sampling, silent
from kvassay.backend.scripted import Scripted, ScriptedBoot
from kvassay.cli.replay import checked
from kvassay.errors import ConfigError, Interrupted, StoreMismatch, UsageError
from kvassay.grade.context import CLEARED
from kvassay.settings import RunSettings
from kvassay.types import Arm, Channel, Completion, OutcomeClass
from session.recordings import SECRET, recording

READ = '<tool_call>\n{"name": "read", "arguments": {"path": "src/price_0.py"}}\n</tool_call>'
PROSE = "I would rather not."


def settings(session: Path, values: dict[str, object] | None = None, **own: object) -> RunSettings:
    base: dict[str, object] = {"pairs": ("q4_0/f16",), "isolate": False, "context": 6144, "evidence_probes": 0}
    return checked({**base, **(values or {})}, {"session": str(session), **own})


def script(_prompt: str, arm: Arm) -> str:
    return READ if arm.kv.k == "f16" else PROSE


def job(store: Store, wanted: RunSettings, *, stored: bool = False, **parts: object) -> Job:
    backend = parts.pop("backend", None) or Scripted(script)
    assert isinstance(backend, Scripted)
    arms = arms_of(wanted, backend.cache_types)
    questions = questions_of(wanted, stored=stored)
    return Job(wanted, backend, Sample("scripted"), arms, questions, store, **parts)  # type: ignore[arg-type]


def finished(tmp_path: Path, wanted: RunSettings, **parts: object) -> StoredRun:
    return run(job(Store(tmp_path / "s.sqlite", write=True), wanted, **parts))


def test_each_turn_is_asked_once_of_every_arm_by_every_channel_in_the_sessions_order(tmp_path: Path) -> None:
    """All arms answer the same prompts; the verdict counts the pairs."""
    whole = finished(tmp_path, settings(recording(tmp_path)))
    asked = [name for _, name in whole.asked()]
    assert [int(name.partition("/")[2]) for name in asked] == list(range(1, 14))
    assert {name for name in asked if name.startswith("replay-edit")} == {f"replay-edit/{n}" for n in range(2, 13, 2)}
    keys = {(key.arm, key.probe, key.channel) for key in whole.done()}
    assert len(keys) == len(whole.done()) == 3 * 13 * len(Channel)
    verdict = verdict_of(whole)
    (found,) = verdict.arms
    assert (found.overall.pairs, found.overall.reference_correct, found.overall.candidate_correct) == (13, 13, 0)
    assert "K at q4_0 breaks this model's tool calls" in verdict.headline


def test_the_sessions_order_keeps_the_ladders_economy(tmp_path: Path) -> None:
    """Each boot processes what is new in each turn and little more, though every turn has a prompt of its own."""
    whole = finished(tmp_path, settings(recording(tmp_path, lines=40), {"context": 32768}))
    prompts = sum(record.prompt_tokens for record in whole.probes())
    deepest = max(record.prompt_tokens for record in whole.probes())
    for boot in whole.boots():
        assert deepest <= boot.bound_tokens <= 1.2 * deepest < prompts / 4
        assert boot.bound_tokens <= boot.processed_tokens <= 1.05 * boot.bound_tokens


def test_the_manifest_names_session_turns_cuts_and_schemas(tmp_path: Path) -> None:
    """What a reader needs to know of what was asked."""
    record = finished(tmp_path, settings(recording(tmp_path, lines=40), {"context": 3072}, turns=6)).record
    replay = record.manifest.replay
    assert replay is not None
    assert (replay.agent, replay.session, len(replay.sha256)) == ("pi", "s-shop-1", 64)
    assert (replay.recorded_turns, replay.context_tokens, replay.tools_from) == (13, 3072, "calls")
    assert replay.reconstructed == ("bash", "edit", "read")
    assert len(replay.turns) == 6
    assert any(turn.is_cut for turn in replay.turns)
    assert all(turn.prompt_tokens + 512 <= 3072 for turn in replay.turns)


def test_a_context_that_is_too_small_cuts_and_never_silently(tmp_path: Path) -> None:
    """What was cut is tagged at the probe and gone from its history; the prompt as stored says so."""
    whole = finished(tmp_path, settings(recording(tmp_path, lines=40), {"context": 3072}))
    session = whole.session()
    tagged = [record for record in whole.probes() if "history-cut" in record.probe.tags]
    assert tagged
    cleared = [r for r in tagged if any(m.content == CLEARED for m in history_of(session, r.probe))]
    assert cleared
    texts = {rung.depth: rung.prefix_text for rung in session.rungs}
    for record in cleared:
        assert CLEARED in texts[record.depth][: record.prefix_chars] + record.suffix_text


@pytest.mark.parametrize("context", range(2900, 3300, 40))
def test_no_context_is_refused_that_cutting_makes_room_for(tmp_path: Path, context: int) -> None:
    """However little is missing: what templates put around each message grows with the history."""
    record = finished(tmp_path, settings(recording(tmp_path, lines=40), {"context": context})).record
    assert record.manifest.replay is not None
    assert all(turn.prompt_tokens + 512 <= context for turn in record.manifest.replay.turns)


def test_where_nothing_fits_it_is_said_with_the_context(tmp_path: Path) -> None:
    """For the session, and for the one turn asked."""
    session = recording(tmp_path, lines=40)
    for own in ({}, {"turn": 2}):
        with Store(tmp_path / "s.sqlite", write=True) as store, pytest.raises(ConfigError, match="700 tokens"):
            run(job(store, settings(session, {"context": 700}, **own)))


def stopped(path: Path, wanted: RunSettings, trials: int) -> None:
    """A run whose user asks for a stop during its n-th trial."""
    seen: list[events.Event] = []

    def stop() -> bool:
        return sum(isinstance(event, events.TrialEnded) for event in seen) >= trials

    with Store(path, write=True) as store, pytest.raises(Interrupted):
        run(job(store, wanted, observe=seen.append, stop=stop))


@pytest.mark.parametrize("trials", [2, 50])
def test_a_stopped_replay_goes_on_without_the_sessions_file(tmp_path: Path, trials: int) -> None:
    """Prompts come from the store: nothing is asked twice, and the result is that of a run that was never stopped."""
    session, path = recording(tmp_path), tmp_path / "s.sqlite"
    wanted = settings(session)
    (tmp_path / "whole").mkdir()
    whole = finished(tmp_path / "whole", wanted)
    stopped(path, wanted, trials)
    session.unlink()
    with Store(path, write=True) as store:
        again = run(job(store, wanted, stored=True), resume=store.unfinished())
        assert again.done() == whole.done()
        assert list(again.outcomes(Channel.RAW)) == list(whole.outcomes(Channel.RAW))
        assert again.record.manifest.replay == whole.record.manifest.replay


def test_a_replay_is_never_resumed_as_another(tmp_path: Path) -> None:
    """Other turns are another design."""
    session, path = recording(tmp_path), tmp_path / "s.sqlite"
    stopped(path, settings(session), 2)
    with Store(path, write=True) as store, pytest.raises(StoreMismatch, match=r"replay: .*'turns': 24.*'turns': 5"):
        run(job(store, settings(session, turns=5), stored=True), resume=store.unfinished())


class Heard(Scripted):
    """Writes down how it was asked to sample."""

    def __init__(self, answer: Callable[[str, Arm], str]) -> None:
        super().__init__(answer)
        self.heard: list[tuple[float, int]] = []

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        del listener
        return HeardBoot(self, arm, context_tokens)


class HeardBoot(ScriptedBoot):
    """One boot of it."""

    def complete(self, tokens: tuple[int, ...], sampling: Sampling) -> Completion:  # type: ignore[override]
        assert isinstance(self._backend, Heard)
        self._backend.heard.append((sampling.temperature, sampling.seed))
        return super().complete(tokens, sampling)


def test_one_turn_is_asked_greedily_and_with_each_seed(tmp_path: Path) -> None:
    """Greedily by every channel, sampled by the raw one only; the same prompt each time, one scenario."""
    backend = Heard(script)
    wanted = settings(recording(tmp_path), {"repeat": False, "pairs": ("q8_0/f16",)}, turn=4, seeds=3)
    whole = finished(tmp_path, wanted, backend=backend)
    one_boot = [(0.0, 0)] * 3 + [(0.8, 1), (0.8, 2), (0.8, 3)]
    assert backend.heard == one_boot * 2
    assert len({record.prompt_sha256 for record in whole.probes()}) == 1
    assert [name for _, name in whole.asked()] == ["replay-edit/4", *(f"replay-edit/4@{n}" for n in (1, 2, 3))]
    assert verdict_of(whole).arms[0].beyond.clusters == 1
    assert verdict_of(whole).arms[0].overall.pairs == 4


def test_the_call_that_failed_then_is_wrong_now_and_another_may_be_right(tmp_path: Path) -> None:
    """Turn 4 is the edit that failed: graded against the session, not against its recording."""
    failed = {"path": "src/price_1.py", "oldText": "order.total * 1", "newText": "round(order.total * 1, 2)"}
    said = f'<tool_call>\n{{"name": "edit", "arguments": {json.dumps(failed)}}}\n</tool_call>'
    wanted = settings(recording(tmp_path), {"repeat": False, "channels": ("raw",)}, turn=4, seeds=1)
    whole = finished(tmp_path, wanted, backend=Scripted(lambda _, arm: READ if arm.kv.k == "f16" else said))
    kinds = {(key.arm, kind) for key, kind in whole.outcomes(Channel.RAW)}
    assert kinds == {("f16/f16", OutcomeClass.CORRECT), ("q4_0/f16", OutcomeClass.WRONG_VALUE)}


def test_redacted_nothing_secret_is_asked_or_stored(tmp_path: Path) -> None:
    """Neither in a prompt nor anywhere in the store's file."""
    prompts: list[str] = []

    def answer(prompt: str, _arm: Arm) -> str:
        prompts.append(prompt)
        return PROSE

    wanted = settings(recording(tmp_path), {"repeat": False}, redact=True, turns=4)
    finished(tmp_path, wanted, backend=Scripted(answer))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("s.sqlite*"))
    assert not any(SECRET in prompt or "/home/astrid" in prompt for prompt in prompts)
    assert SECRET.encode() not in stored
    assert b"/home/astrid" not in stored
    assert any("⟨secret:" in prompt for prompt in prompts)


def test_sessions_and_turns_that_cannot_be_asked_are_refused_by_name(tmp_path: Path) -> None:
    """A session of talk only; a turn that does not exist, with its neighbours."""
    talk = tmp_path / "talk.json"
    talk.write_text(json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]))
    with pytest.raises(UsageError, match="holds no turn that can be asked"):
        questions_of(settings(talk))
    with pytest.raises(UsageError) as caught:
        questions_of(settings(recording(tmp_path), turn=99))
    assert "turn 99" in str(caught.value)
    assert "8, 9, 10, 11, 12, 13" in str(caught.value)


def test_the_context_is_what_the_turns_need_at_most_what_the_model_has(tmp_path: Path) -> None:
    """A turn alone needs less than the whole session."""
    wanted = settings(recording(tmp_path, lines=60))
    recorded = questions_of(wanted).recorded
    assert recorded is not None
    need = context_for(wanted, recorded, None)
    assert context_for(wanted, recorded, 2048) == 2048
    assert context_for(settings(recording(tmp_path, lines=60), turn=1), recorded, None) < need / 4

"""A replay in memory: three turns of a small session under three arms, one of which does what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kvassay.assay.records import ProbeRecord, ReplayRecord, RungRecord, RunRecord, SessionRecord, TurnRecord
from kvassay.types import (
    Call,
    Channel,
    JsonObject,
    JsonValue,
    Message,
    Outcome,
    OutcomeClass,
    Probe,
    ToolCall,
    Trial,
    TrialKey,
    Turn,
)
from report.synthetic_run import SyntheticRun

READ = ToolCall("c1", "read", {"path": "a.py"})
WRITE = ToolCall("c2", "write", {"path": "a.py", "content": "x"})
TEST = ToolCall("c3", "bash", {"command": "pytest -q"})
HISTORY = (
    Message("user", "Fix a.py <b>now</b>."),
    Message("assistant", "", (READ,)),
    Message("tool", "text", tool_call_id="c1"),
    Message("assistant", "", (WRITE,)),
    Message("tool", "ok", tool_call_id="c2"),
)
TURNS = ((1, READ, 1, True), (2, WRITE, 3, True), (3, TEST, 5, False))
REMOVE = Call("bash", {"command": "rm -rf ."})


@dataclass(frozen=True)
class ReplayedRun(SyntheticRun):
    """``q4_0/f16`` reads at turn 1 as all do, writes twice at turn 2 (right), and at turn 3 writes again and removes
    everything (wrong); all others do as recorded. With ``seeds`` the third turn alone is asked, so many times more.
    """

    seeds: int = 0
    redacted: bool = False
    asks_ground: bool = True

    @property
    def record(self) -> RunRecord:
        found = super().record
        design = found.manifest.design.model_copy(update={"families": ("replay", "replay-edit"), "depths": (300,)})
        numbers = (3,) if self.seeds else (1, 2, 3)
        replay = ReplayRecord(
            agent="pi",
            session="s-1",
            path="/home/astrid/s.jsonl",
            sha256="0" * 64,
            recorded_turns=5,
            askable_turns=3,
            context_tokens=4096,
            turns=tuple(
                TurnRecord(number=n, prompt_tokens=100 * n, depth=300, cleared=int(n == 3), dropped=0) for n in numbers
            ),
            tools_from="calls",
            reconstructed=("bash", "read"),
            seeds=self.seeds,
            temperature=0.8 if self.seeds else 0.0,
            redacted=self.redacted,
        )
        changes = {"design": design, "replay": replay, "command": ("kvassay", "replay", "/home/astrid/s.jsonl")}
        return replace(found, manifest=found.manifest.model_copy(update=changes))

    def session(self) -> SessionRecord:
        return SessionRecord(HISTORY, (), (RungRecord(300, 5, 290, "the session"),))

    def probes(self) -> Iterator[ProbeRecord]:
        for number, call, end, succeeded in TURNS:
            known: JsonObject = {"name": call.name, "arguments": call.arguments, "succeeded": succeeded}
            stretch: list[JsonValue] = [0, end]
            key: JsonObject = {"turn": number, "recorded": [known], "history": stretch, "asks_ground": self.asks_ground}
            probe = Probe(f"replay/{number}", "replay", number, (), (), key=key)
            asked = range(self.seeds + 1) if number == 3 else range(0 if self.seeds else 1)
            for seed in asked:
                named = replace(probe, id=f"{probe.id}@{seed}") if seed else probe
                yield ProbeRecord(300, named, "0" * 64, 100 * number, "the rest", prefix_chars=4 * number)

    def trials(self) -> Iterator[Trial]:
        for boot, arm in enumerate(self.arms, 1):
            for record in self.probes():
                yield self._answered(boot, arm.label, record)

    def _answered(self, boot: int, arm: str, record: ProbeRecord) -> Trial:
        number = record.probe.seed
        recorded = next(call for n, call, _, _ in TURNS if n == number)
        calls = (Call(recorded.name, recorded.arguments),)
        wrong = arm == "q4_0/f16" and number == 3
        if arm == "q4_0/f16" and number > 1:
            calls = (Call(WRITE.name, WRITE.arguments), REMOVE if wrong else Call(WRITE.name, WRITE.arguments))
        text = "\n".join(f"{call.name} {call.arguments}" for call in calls)
        return Trial(
            key=TrialKey(arm, record.depth, record.probe.id, Channel.RAW),
            boot=boot,
            turn=Turn(text, "", calls, dialect="hermes"),
            outcome=Outcome(OutcomeClass.WRONG_VALUE if wrong else OutcomeClass.CORRECT, "gone" if wrong else ""),
            timings=None,
            wall_s=1.0,
            prompt_sha256=record.prompt_sha256,
            prompt_tokens=record.prompt_tokens,
        )

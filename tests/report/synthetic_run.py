"""A run in memory, made of synthetic trials: what the report's tests read instead of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvassay.assay.records import ArmSpec, Design, Manifest, ProbeRecord, RungRecord, RunRecord, SessionRecord
from kvassay.types import (
    BootFacts,
    BootRecord,
    Channel,
    ExpectedCall,
    Outcome,
    OutcomeClass,
    Probe,
    Timings,
    Trial,
    TrialKey,
    Turn,
)
from kvassay.verdict import Verdict, judge

ARMS = (
    ArmSpec(label="f16/f16", role="reference", k="f16", v="f16", rotation=True),
    ArmSpec(label="f16/f16 #2", role="repeat", k="f16", v="f16", rotation=True),
    ArmSpec(label="q8_0/q8_0", role="candidate", k="q8_0", v="q8_0", rotation=True),
    ArmSpec(label="q4_0/f16", role="candidate", k="q4_0", v="f16", rotation=True),
    ArmSpec(label="f16/q4_0", role="candidate", k="f16", v="q4_0", rotation=True),
)
FAMILIES = ("recall", "edit", "nested")
SESSION = "<|im_start|>system\nYou are a coding agent.\n" + "def parse(text):\n    return text.split()\n" * 400
BITS = {"f16": 16.0, "q8_0": 8.5, "q5_1": 6.0, "q5_0": 5.5, "q4_1": 5.0, "q4_0": 4.5}


@dataclass(frozen=True)
class SyntheticRun:
    """A RunSource over generated trials. Arms in ``bad`` fail in their way: always at the deepest depth, with even
    seeds elsewhere; all others are always right. ``hostile`` is put into every text a run holds.
    """

    arms: tuple[ArmSpec, ...] = ARMS
    depths: tuple[int, ...] = (2048, 8192)
    probes_per_family: int = 4
    families: tuple[str, ...] = FAMILIES
    channels: tuple[Channel, ...] = (Channel.RAW,)
    text: str = (
        '<tool_call>\n{{"name": "read_file", "arguments": {{"path": "src/{probe}.py", "line": {line}}}}}\n</tool_call>'
    )
    hostile: str = ""
    bad: dict[str, OutcomeClass] = field(default_factory=lambda: {"q4_0/f16": OutcomeClass.HALLUCINATED_PARAM})

    @property
    def record(self) -> RunRecord:
        return RunRecord(7, manifest(self), finished_at=1_800_000_900.0)

    def boots(self) -> Sequence[BootRecord]:
        return tuple(
            BootRecord(
                id=at,
                arm=arm.label,
                facts=_facts(arm, self.depths[-1]),
                started_at=1_800_000_000.0 + 100 * at,
                ended_at=1_800_000_100.0 + 100 * at,
                processed_tokens=10_300,
                bound_tokens=10_000,
                server_s=98.0,
            )
            for at, arm in enumerate(self.arms, 1)
        )

    def session(self) -> SessionRecord:
        deepest = self.depths[-1]
        rungs = (RungRecord(d, d // 64, d, SESSION[: len(SESSION) * d // deepest]) for d in self.depths)
        return SessionRecord((), (), tuple(rungs))

    def probes(self) -> Iterator[ProbeRecord]:
        for depth in self.depths:
            for family in self.families:
                for seed in range(self.probes_per_family):
                    yield _probe(depth, family, seed, self.hostile)

    def evidence(self) -> Sequence[tuple[TrialKey, bytes]]:
        return ()

    def readings(self) -> Sequence[tuple[str, str]]:
        return ()

    def trials(self) -> Iterator[Trial]:
        for boot, arm in enumerate(self.arms, 1):
            for record in self.probes():
                for channel in self.channels:
                    yield self._trial(boot, arm.label, record, channel)

    def _trial(self, boot: int, arm: str, record: ProbeRecord, channel: Channel) -> Trial:
        seed, probe = record.probe.seed, record.probe
        wrong = arm in self.bad and (record.depth == self.depths[-1] or seed % 2 == 0)
        kind = self.bad[arm] if wrong else OutcomeClass.CORRECT
        text = self.text.format(probe=probe.id, line=seed + 100 * wrong, arm=arm, depth=record.depth) + self.hostile
        return Trial(
            key=TrialKey(arm, record.depth, probe.id, channel),
            boot=boot,
            turn=Turn(text=text, content="", calls=(), dialect="hermes", channel=channel),
            outcome=Outcome(kind, f"argument 'line' is {seed + 100}{self.hostile}" if wrong else ""),
            timings=Timings(record.depth, 100, 500.0, 40, 2000.0),
            wall_s=2.6,
            prompt_sha256=record.prompt_sha256,
            prompt_tokens=record.prompt_tokens,
        )


def _facts(arm: ArmSpec, cells: int) -> BootFacts:
    return BootFacts(
        backend="llama.cpp",
        build="b11434",
        context_tokens=cells + 1024,
        k_type=arm.k,
        v_type=arm.v,
        k_bytes=int(cells * 14336 / 32 * BITS[arm.k]),
        v_bytes=int(cells * 14336 / 32 * BITS[arm.v]),
        k_rotation=0 if arm.k == "f16" else 128,
        v_rotation=0 if arm.v == "f16" else 64,
        flash_attention=True,
        graph_splits=1,
        warnings=("n_ctx_seq < n_ctx_train: the full capacity will not be used",) if arm.k == "q4_0" else (),
    )


def _probe(depth: int, family: str, seed: int, hostile: str) -> ProbeRecord:
    name = f"{family}-{seed:04d}"
    expected = ((ExpectedCall(f"read_file{hostile}", {"path": (f"src/{name}.py",), "line": (seed,)}),),)
    probe = Probe(name, family, seed, (), expected, level=1 + seed % 3)
    suffix = f"<|im_start|>user\nOpen src/{name}.py at line {seed}.{hostile}<|im_end|>\n<|im_start|>assistant\n"
    return ProbeRecord(depth, probe, "0" * 64, depth + 100, suffix)


def manifest(run: SyntheticRun) -> Manifest:
    """The manifest of a synthetic run."""
    design = Design(
        model_name="qwen2.5-coder-1.5b-instruct-q4_k_m",
        model_sha256="a" * 64,
        backend="llama.cpp embedded",
        build="b11434",
        hardware="2 cores, 16 GB",
        arms=run.arms,
        depths=run.depths,
        context_tokens=run.depths[-1] + 1024,
        families=run.families,
        probes_per_family=run.probes_per_family,
        levels=(1, 2, 3),
        tools_sha256="b" * 64,
        session_sha256="c" * 64,
        prompts_sha256="d" * 64,
        seed=1,
        channels=tuple(dict.fromkeys("raw" if channel is Channel.RAW else "parsed" for channel in run.channels)),
        parsed_share=0.25,
        dialect="auto",
        max_tokens=256,
        top_n=5,
        alpha=0.05,
        margin=0.05,
    )
    return Manifest(
        design=design,
        design_sha256="e" * 64,
        created_at=1_800_000_000.0,
        kvassay_version="0.1.0",
        packages={"xllamacpp": "2026.10.11549"},
        host={"os": "Debian 12"},
        command=("kvassay", "run", "--kv", "q4_0/q4_0"),
    )


def verdict(run: SyntheticRun) -> Verdict:
    """The verdict that the judge gives on the run's first channel."""
    outcomes = {
        (trial.key.arm, trial.key.depth, trial.key.probe): (
            None if trial.outcome.kind.is_infrastructure else trial.outcome.correct
        )
        for trial in run.trials()
        if trial.key.channel is run.channels[0]
    }
    return judge(
        outcomes,
        reference=run.arms[0].label,
        repeat=next((arm.label for arm in run.arms if arm.role == "repeat"), None),
        candidates=[arm for arm in run.arms if arm.role == "candidate"],
        depths=run.depths,
        alpha=0.05,
        margin=0.05,
    )

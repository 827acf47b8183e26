"""What the store keeps of a run, as values: the manifest, the session in front of the probes, the probes as asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kvassay.types import Message, Probe, Role, Tool

FORMAT_VERSION = 3


class ArmSpec(BaseModel):
    """An arm as the manifest states it; ``label`` is its name everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    role: str
    k: str
    v: str
    rotation: bool
    endpoint: str | None = None


class Design(BaseModel):
    """What is hashed before trial 1. Two runs, or a run and its resumption, may be put together only where all of
    this is equal. Depths and contexts are tokens of the model's own tokenizer. ``endpoint`` is the primary one;
    ``turns`` is the longest closed loop, 0 in a run of probes, and ``agent`` whose replies it hears;
    ``evidence_tail``: the reference's lists that are compared go on until this probability is left, or they are full;
    None where they hold ``top_n``; ``stopping`` "anytime" lets a rung end as soon as it is decided
    (assay/stopping.py), "fixed" asks every probe; fields with a default are younger than format 1, whose runs were
    made as the default says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    model_sha256: str | None
    backend: str
    server_args: tuple[str, ...] = ()
    build: str | None = None
    hardware: str
    threads: int | None = None
    arms: tuple[ArmSpec, ...]
    depths: tuple[int, ...]
    context_tokens: int
    families: tuple[str, ...]
    probes_per_family: int
    levels: tuple[int, ...]
    suite_sha256: str | None = None
    tools_sha256: str
    session_sha256: str
    prompts_sha256: str
    seed: int
    channels: tuple[str, ...]
    parsed_share: float
    dialect: str
    max_tokens: int
    top_n: int
    alpha: float
    margin: float
    endpoint: Literal["the call is right", "the task is done"] = "the call is right"
    stopping: Literal["anytime", "fixed"] = "fixed"
    evidence_probes: int = 0
    evidence_tail: float | None = None
    turns: int = 0
    agent: str = ""

    @property
    def reference(self) -> ArmSpec:
        """The arm that all others are compared with."""
        return next(arm for arm in self.arms if arm.role == Role.REFERENCE)

    @property
    def in_loops(self) -> bool:
        """Whether the run lets the model act in closed loops, where others ask single questions."""
        return self.turns > 0


class TurnRecord(BaseModel):
    """One recorded turn as asked: its place among the session's turns (from 1), its prompt's tokens, and what was done
    to the history in front of it (`kvassay.session.history.Moment`). ``depth`` names the group it is counted in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    prompt_tokens: int
    depth: int
    compactions: int = 0
    cleared: int = 0
    dropped: int = 0
    mended: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether the context was too small for all that the agent showed."""
        return bool(self.cleared or self.dropped)


class ReplayRecord(BaseModel):
    """Which session a replay asked again. ``sha256`` is over its messages as read; ``recorded_turns`` are all of the
    model's turns, ``askable_turns`` those that ended in calls and fit the context. ``tools_from`` says where the tools
    come from ("file", "transcript" or "calls"); ``reconstructed`` names those whose schema is ours, ``disproved`` those
    among them that were declared. ``seeds`` answers a turn are sampled at ``temperature``, beside one greedy answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str
    session: str
    path: str
    sha256: str
    recorded_turns: int
    askable_turns: int
    context_tokens: int
    turns: tuple[TurnRecord, ...]
    tools_from: Literal["file", "transcript", "calls"]
    reconstructed: tuple[str, ...] = ()
    disproved: tuple[str, ...] = ()
    seeds: int = 0
    temperature: float = 0.0
    redacted: bool = False


class Manifest(BaseModel):
    """The design and its hash, and beside it what was merely recorded: versions, host, command line. ``replay`` is the
    recorded session that was asked again, if one was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    design: Design
    design_sha256: str
    created_at: float
    kvassay_version: str
    packages: dict[str, str] = Field(default_factory=dict)
    host: dict[str, str] = Field(default_factory=dict)
    command: tuple[str, ...] = ()
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    replay: ReplayRecord | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run in a store. Times are Unix seconds; ``finished_at`` None means it can be resumed."""

    id: int
    manifest: Manifest
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One closed loop as stored. ``done`` is None where infrastructure failed; ``body`` is the JSON of its turns
    (kvassay.loops.record).
    """

    arm: str
    depth: int
    task: str
    boot: int
    done: bool | None
    ending: str
    body: str


@dataclass(frozen=True, slots=True)
class RungRecord:
    """The session's prefix at one depth: its first ``n_messages`` messages, ``prompt_tokens`` as counted by the
    server. ``prefix_text`` is the rendered prompt in front of the question.
    """

    depth: int
    n_messages: int
    prompt_tokens: int
    prefix_text: str


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The deepest session of a run; every rung's prefix is a prefix of it. Empty for stand-alone suites.

    Of a replay, ``messages`` are the histories of all turns, each once, one stretch behind the other, and each probe's
    key says which stretch is its own; a rung's text is then that of the deepest turn of its depth.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    rungs: tuple[RungRecord, ...]


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A probe as asked at one depth. The rendered prompt is the first ``prefix_chars`` characters of the rung's
    ``prefix_text`` (None: all of them), then ``suffix_text``; where the probe stands alone, ``suffix_text`` is all.
    """

    depth: int
    probe: Probe
    prompt_sha256: str
    prompt_tokens: int
    suffix_text: str
    prefix_chars: int | None = None

"""Small valid values that the tests of the assay share."""

from __future__ import annotations

from kvassay.assay.records import ArmSpec, Design, Manifest, ProbeRecord, RungRecord, SessionRecord
from kvassay.types import (
    Call,
    Channel,
    ChatReply,
    ExpectedCall,
    Message,
    Outcome,
    OutcomeClass,
    ParseFault,
    Position,
    Probe,
    Stop,
    Timings,
    Tool,
    Trial,
    TrialKey,
    Turn,
    WireCall,
)

TOOL = Tool("read_file", "Read a file", {"type": "object", "properties": {"path": {"type": "string"}}})
MESSAGES = (Message("system", "You code."), Message("user", "Hi"), Message("assistant", "Hello"))


def design(**changes: object) -> Design:
    values = {
        "model_name": "m", "model_sha256": "0" * 64, "backend": "embedded", "hardware": "cpu",
        "arms": (ArmSpec(label="f16/f16", role="reference", k="f16", v="f16", rotation=True),
                 ArmSpec(label="q4_0/f16", role="candidate", k="q4_0", v="f16", rotation=True)),
        "depths": (100, 200), "context_tokens": 512, "families": ("recall",), "probes_per_family": 2, "levels": (1, 2),
        "tools_sha256": "t", "session_sha256": "s", "prompts_sha256": "p", "seed": 0, "channels": ("raw",),
        "parsed_share": 0.0, "dialect": "hermes", "max_tokens": 64, "top_n": 2, "alpha": 0.05, "margin": 0.05,
    }  # fmt: skip
    return Design.model_validate({**values, **changes})


def manifest(**changes: object) -> Manifest:
    return Manifest(design=design(**changes), design_sha256="d", created_at=1.0, kvassay_version="0")


def probe(name: str = "recall/0") -> Probe:
    expected = ((ExpectedCall("read_file", {"path": ("a.py", "./a.py")}),),)
    return Probe(name, "recall", 0, (Message("user", "Read a.py ✓"),), expected)


def session() -> SessionRecord:
    rungs = (RungRecord(100, 2, 99, "prefix"), RungRecord(200, 3, 199, "prefix and more"))
    return SessionRecord(MESSAGES, (TOOL,), rungs)


def probes(*names: str) -> list[ProbeRecord]:
    return [ProbeRecord(depth, probe(name), "sha", 110, " suffix") for depth in (100, 200) for name in names]


def trial(name: str = "recall/0", *, arm: str = "f16/f16", depth: int = 100, boot: int = 1) -> Trial:
    return Trial(
        key=TrialKey(arm, depth, name, Channel.PLAIN),
        boot=boot,
        turn=Turn("{…}", "", (Call("read_file", {"path": "ü\u2028"}),), (ParseFault("empty", "x", "y"),), "hermes",
                  stop=Stop.LIMIT, channel=Channel.PLAIN),
        outcome=Outcome(OutcomeClass.VERBATIM_MISS, "3 characters off", 3),
        timings=Timings(90, 20, 12.5, 7, 30.25),
        wall_s=0.5,
        prompt_sha256="sha",
        prompt_tokens=110,
        positions=(Position(5, "\udcff{", -0.5, ((5, -0.5), (6, -1.0))), Position(7, "", 0.0)),
        reply=ChatReply("", "", (WireCall("read_file", "{"),), "length", Timings(1, 2, 3.0, 4, 5.0), 500, "boom"),
        tokens=(5, 151_657, 7),
    )  # fmt: skip

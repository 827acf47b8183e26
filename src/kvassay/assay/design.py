"""The design of a run: made from settings, model and prompts; hashed before trial 1; compared before anything is
put together.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvassay.assay import host
from kvassay.assay.codec import dump
from kvassay.assay.prepare import Questions
from kvassay.assay.prompts import Written
from kvassay.assay.records import ArmSpec, Design, Manifest
from kvassay.errors import ConfigError, StoreMismatch
from kvassay.settings import RunSettings
from kvassay.types import Arm
from kvassay.wire import message_to_json, tool_to_json

ROOM_FOR_QUESTION = 1536  # tokens; the longest question of our own families is far shorter
PAD = 256  # llama.cpp pads contexts to this


def context_tokens(settings: RunSettings, *, suite_chars: int = 0) -> int:
    """The context that each server is started with: the deepest session, a question and an answer.

    ``suite_chars`` is the length of the longest stand-alone case; two characters a token is on the safe side.
    """
    if settings.context is not None:
        return settings.context
    deepest = max(settings.depths, default=0) * 102 // 100
    need = max(deepest + ROOM_FOR_QUESTION, suite_chars // 2) + settings.max_tokens
    return -(-need // PAD) * PAD


def check_room(settings: RunSettings, trained_tokens: int | None, *, suite_chars: int = 0) -> None:
    """Raise ConfigError where the deepest session doesn't fit the model's own context."""
    need = context_tokens(settings, suite_chars=suite_chars)
    if trained_tokens is None or need <= trained_tokens or (suite_chars and not settings.depths):
        return
    fits = (trained_tokens - settings.max_tokens - ROOM_FOR_QUESTION) * 100 // 102
    raise ConfigError(
        f"depth {max(settings.depths, default=need):,} needs a context of {need:,} tokens; the model was trained for "
        f"{trained_tokens:,}",
        hint=f"The greatest depth that leaves room for question and answer is {max(fits, 0):,}.",
    )


def arm_spec(arm: Arm) -> ArmSpec:
    """An arm as the manifest states it."""
    kv = arm.kv
    return ArmSpec(label=arm.label, role=arm.role, k=kv.k, v=kv.v, rotation=kv.rotation, endpoint=arm.endpoint)


@dataclass(frozen=True, slots=True)
class Sample:
    """The model under test, as the manifest names it. ``trained_tokens`` is the context it was trained for."""

    name: str
    sha256: str | None = None
    trained_tokens: int | None = None


def stated(settings: RunSettings, sample: Sample, arms: Sequence[Arm], questions: Questions) -> dict[str, object]:
    """The part of a design that is known before any server runs."""
    return {
        "model_name": sample.name,
        "model_sha256": sample.sha256,
        "backend": settings.backend,
        "server_args": settings.server_args,
        "hardware": host.hardware(),
        "threads": settings.threads,
        "arms": tuple(arm_spec(arm) for arm in arms),
        "context_tokens": context_tokens(settings, suite_chars=questions.longest_case_chars),
        "families": questions.families,
        "probes_per_family": settings.probes_per_family,
        "suite_sha256": questions.suite.sha256 if questions.suite else None,
        "seed": settings.seed,
        "channels": settings.channels,
        "parsed_share": settings.parsed_share,
        "max_tokens": settings.max_tokens,
        "top_n": settings.top_n,
        "alpha": settings.alpha,
        "margin": settings.margin,
    }


def design_of(known: dict[str, object], *, build: str | None, native: str | None, written: Written) -> Design:
    """Everything that must be equal before results may stand in one table."""
    session = dump([message_to_json(message) for message in written.session.messages])
    tools = dump([tool_to_json(tool) for tool in written.session.tools])
    return Design.model_validate(
        {
            **known,
            "build": build,
            "dialect": native or "",
            "depths": tuple(sorted({prompt.depth for prompt in written.book.prompts})),
            "tools_sha256": _sha256(tools),
            "session_sha256": _sha256(session),
            "prompts_sha256": written.book.sha256,
        }
    )


def manifest_of(design: Design, settings: RunSettings) -> Manifest:
    """The manifest of a new run."""
    return Manifest(
        design=design,
        design_sha256=_sha256(design.model_dump_json()),
        created_at=time.time(),
        kvassay_version=importlib.metadata.version("kvassay"),
        packages=host.packages(),
        host=host.host(),
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),
        settings=settings.model_dump(mode="json"),
    )


def require_equal(stored: Design, now: dict[str, object]) -> None:
    """Raise StoreMismatch naming every field of ``now`` in which the stored design differs."""
    before, after = stored.model_dump(), stored.model_copy(update=now).model_dump()
    differing = [f"{name}: {before[name]!r} in the store, {after[name]!r} now" for name in before
                 if before[name] != after[name]]  # fmt: skip
    if differing:
        raise StoreMismatch(
            "the stored run was made under another design:\n" + "\n".join(f"  {line}" for line in differing),
            hint="Runs are never mixed. Start a new one without --resume, or set these back.",
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""`--fail-on`: a verdict as an exit code, for CI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kvassay.errors import KvassayError
from kvassay.verdict import ArmVerdict, State, Verdict

GATES: Mapping[str, Callable[[ArmVerdict], bool]] = MappingProxyType(
    {
        "degraded": lambda arm: arm.state is State.DEGRADED,
        "unproven": lambda arm: not arm.state.is_within,
    }
)
"""What a candidate must not be."""


class GateClosed(KvassayError):
    """A candidate is what the user does not accept."""

    exit_code = 10


class NothingJudged(KvassayError):
    """The run is invalid, the model itself fails, or there is no pair: no verdict of it can be relied on."""

    exit_code = 11


def gate(verdict: Verdict, fail_on: str) -> None:
    """Raise NothingJudged or GateClosed where the verdict is not good enough."""
    if verdict.fault:
        raise NothingJudged(f"no verdict can be relied on: {verdict.fault}", hint="The report says why.")
    if not any(arm.overall.pairs for arm in verdict.arms):
        raise NothingJudged("no candidate has a pair to judge", hint="Ask for a pair beside the reference (--kv).")
    bad = [arm for arm in verdict.arms if GATES[fail_on](arm)]
    if bad:
        raise GateClosed(f"--fail-on {fail_on}: " + ", ".join(f"{arm.arm} is {arm.state}" for arm in bad))

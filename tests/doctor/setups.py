"""Set-ups for the doctor's tests, built the way a user's are."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from kvassay.doctor.command import recognise, split
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.read_file import read_file
from kvassay.doctor.read_log import setup_of_log
from kvassay.doctor.rules import examine
from kvassay.doctor.setup import Fact, Finding, Setup


def command(text: str, **facts: str) -> Setup:
    """The set-up of a command line; ``facts`` are what else is known: build, device, what the header says."""
    found = recognise(split(text))
    assert found is not None, text
    return known(setup_of(found, label="command"), **facts)


def known(setup: Setup, **facts: str) -> Setup:
    """A set-up with more facts."""
    more = {name: Fact(value, "test") for name, value in facts.items()}
    return replace(setup, facts=MappingProxyType(dict(setup.facts) | more))


def file(text: str, name: str = "config", **facts: str) -> Setup:
    """The only set-up of a file with this content."""
    (one,) = files(text, name)
    return known(one, **facts)


def files(text: str, name: str = "config") -> tuple[Setup, ...]:
    """All set-ups of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return read_file(path).setups


def log(text: str, **facts: str) -> Setup:
    """The set-up of a log."""
    return known(setup_of_log(text, label="log"), **facts)


def findings(setup: Setup) -> dict[str, Finding]:
    """The findings by rule; the last one of each."""
    return {one.rule: one for one in examine(setup)}

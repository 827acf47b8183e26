"""A diagnosis in the terminal and as JSON: what is known first, then the findings, the worst first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from kvassay.doctor.command import is_windows
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.plan.capability_file import engines
from kvassay.types import JsonObject

_SIGNS = {Severity.PROBLEM: "✗ problem", Severity.WARNING: "! warning", Severity.NOTE: "· note"}
_STYLES = {Severity.PROBLEM: "bold dark_orange", Severity.WARNING: "bold", Severity.NOTE: "dim"}
_ASCII = str.maketrans(
    {"✗": "x", "·": "-", "→": "->", "–": "-", "—": "-", "×": "x", "≠": "!=", "…": "...", "\xa0": " "}
)
_COMMAND_WIDTH = 72
_YAML_ENTRIES = ("command: ", "entrypoint: ", "cmd: ", "  ")  # the last: text below such an entry


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One set-up and what the rules found."""

    setup: Setup
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Severity | None:
        """The worst finding's severity, None where there is none."""
        return max((one.severity for one in self.findings), default=None)


def print_diagnoses(diagnoses: Sequence[Diagnosis], console: Console) -> None:
    """Print all within the console's width."""
    for at, one in enumerate(diagnoses):
        if at:
            _line(console)
        _print(one, console)


def json_report(diagnoses: Sequence[Diagnosis]) -> JsonObject:
    """The same as plain values."""
    return {"setups": [_plain(one) for one in diagnoses]}


def _print(one: Diagnosis, console: Console) -> None:
    engine = engines().get(one.setup.engine or "")
    _text(console, f"{one.setup.label}: {engine.title if engine else 'an unknown back end'}", "bold")
    _line(console)
    _text(console, "What is known", "dim")
    for name, fact in one.setup.facts.items():
        _text(console, f"{name} = {fact.value}  ({fact.how})", indent=2, hang=2)
    if not one.findings:
        _line(console)
        _text(console, "Nothing was found to be wrong with what is known.")
    for finding in one.findings:
        _line(console)
        _finding(console, finding)


def _finding(console: Console, finding: Finding) -> None:
    _text(console, f"{_SIGNS[finding.severity]}: {finding.what}", _STYLES[finding.severity])
    _text(console, f"why: {finding.why}", indent=2, hang=2)
    for line in finding.evidence:
        _text(console, f"seen: {line}", indent=2, hang=2)
    if finding.fix:
        _text(console, "fix:", indent=2)
        for line in finding.fix.splitlines():
            for part in folded(line):
                _line(console, f"    {_clean(console, part)}")
    _text(console, f"source: {finding.source} [{finding.rule}]", "dim", indent=2, hang=2)


def folded(command: str, width: int = _COMMAND_WIDTH) -> Iterator[str]:
    """A long command on several lines, each but the last ended by a backslash (in YAML, which joins lines itself, by
    nothing); quoted words are not broken. One for Windows stays whole: cmd and PowerShell have marks of their own.
    """
    if is_windows(command):
        yield command
        return
    text = command.lstrip()
    line, mark = "", "" if command.startswith(_YAML_ENTRIES) else " \\"
    for word in re.findall(r"(?:'[^']*'|\"[^\"]*\"|\S)+", text):
        if line and len(line) + len(word) + 3 > width:
            yield line + mark
            line = "  " + word
        else:
            line = f"{line} {word}" if line else command[: len(command) - len(text)] + word
    yield line


def _text(console: Console, text: str, style: str = "", *, indent: int = 0, hang: int = 0) -> None:
    width = max(20, min(console.width, 100) - indent - hang)
    for at, line in enumerate(Text(_clean(console, text), style).wrap(console, width)):
        line.rstrip()
        _line(console, Text(" " * (indent + (hang if at else 0))) + line)


def _line(console: Console, line: Text | str = "") -> None:
    console.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)


def _clean(console: Console, text: str) -> str:
    if console.options.ascii_only:
        text = text.translate(_ASCII).encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in text.replace("\n", " ").replace("\t", " "))


def _plain(one: Diagnosis) -> JsonObject:
    return {
        "label": one.setup.label,
        "engine": one.setup.engine,
        "facts": {
            name: {"value": fact.value, "how": fact.how, "stated": fact.stated}
            for name, fact in one.setup.facts.items()
        },
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.name.lower(),
                "what": finding.what,
                "why": finding.why,
                "evidence": list(finding.evidence),
                "fix": finding.fix,
                "source": finding.source,
            }
            for finding in one.findings
        ],
    }

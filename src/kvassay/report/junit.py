"""A verdict as a JUnit file, which every CI system shows: a test case per arm and depth, and one over all depths."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from kvassay.errors import StoreError
from kvassay.report.view import View
from kvassay.report.words import STATES
from kvassay.units import depth_words
from kvassay.verdict import ArmVerdict, Effect, State
from kvassay.verdict.sentences import counts


def write_junit(view: View, path: Path) -> None:
    """Write the file. Degraded is a failure, inconclusive is skipped. Raises StoreError where it can't be written."""
    suite = ET.Element("testsuite", name=f"kvassay {view.design.model_name}", timestamp=_time(view))
    cases = [case for arm in view.verdict.arms for case in _cases(arm)]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", "0")
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    ET.SubElement(suite, "system-out").text = _legible("\n".join([view.verdict.headline, *view.verdict.notes]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise StoreError(
            f"the JUnit file {str(path)!r} can't be written: {error.strerror}", hint="Choose another place."
        ) from None


def _cases(arm: ArmVerdict) -> Iterator[ET.Element]:
    yield _case(arm.arm, "all depths", arm.overall, arm.sentence)
    for found in arm.by_depth:
        yield _case(arm.arm, depth_words(found.depth or 0), found, "")


def _case(arm: str, place: str, found: Effect, sentence: str) -> ET.Element:
    case = ET.Element("testcase", classname=arm, name=f"{arm} at {place}")
    message = _legible(sentence or f"{STATES[found.state].words}: {counts(found)}")
    if found.state is State.DEGRADED:
        ET.SubElement(case, "failure", message=message, type="degraded")
    elif found.state is State.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=message)
    else:
        ET.SubElement(case, "system-out").text = message
    return case


def _time(view: View) -> str:
    return datetime.fromtimestamp(view.manifest.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _legible(text: str) -> str:
    """XML 1.0 holds no control characters, not even escaped."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)

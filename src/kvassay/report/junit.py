"""A verdict as a JUnit file, which every CI system shows: a test case per arm and depth, and one over all depths."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Write the file. Degraded is a failure, inconclusive is skipped, a run that can't be judged is an error.

    It keeps to the schemas of Ant and of Jenkins, so that what passes is told in the suite's own output. Raises
    StoreError where it can't be written.
    """
    cases = [*_faults(view), *(case for arm in view.verdict.arms for case in _cases(arm))]
    suite = ET.Element("testsuite", name=_legible(f"kvassay {view.design.model_name}"), timestamp=_time(view))
    suite.attrib |= {"hostname": "localhost", "time": "0", "tests": str(len(cases))}
    for count, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(sum(case.find(kind) is not None for case in cases)))
    ET.SubElement(suite, "properties")
    suite.extend(cases)
    sentences = (arm.sentence for arm in view.verdict.arms)
    said = "\n".join([view.verdict.headline, *sentences, *view.verdict.notes])
    ET.SubElement(suite, "system-out").text = _legible(said)
    ET.SubElement(suite, "system-err")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def check_writable(path: Path) -> None:
    """Make the file's folder. Raises StoreError, before anything is measured, where no file can be written there."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=path.parent).close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the JUnit file {str(path)!r} can't be written: {error.strerror}", hint="Choose another place."
        ) from None


def _faults(view: View) -> Iterator[ET.Element]:
    if view.verdict.fault:
        case = ET.Element("testcase", classname="kvassay", name="the run", time="0")
        message = _legible(f"no verdict can be relied on: {view.verdict.fault}")
        ET.SubElement(case, "error", message=message, type="invalid")
        yield case


def _cases(arm: ArmVerdict) -> Iterator[ET.Element]:
    yield _case(arm.arm, "all depths", arm.overall, arm.sentence)
    for found in arm.by_depth:
        yield _case(arm.arm, depth_words(found.depth or 0), found, "")


def _case(arm: str, place: str, found: Effect, sentence: str) -> ET.Element:
    case = ET.Element("testcase", classname=arm, name=f"{arm} at {place}", time="0")
    message = _legible(sentence or f"{STATES[found.state].words}: {counts(found)}")
    if found.state is State.DEGRADED:
        ET.SubElement(case, "failure", message=message, type="degraded")
    elif found.state is State.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=message)
    return case


def _time(view: View) -> str:
    return datetime.fromtimestamp(view.manifest.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _legible(text: str) -> str:
    """XML 1.0 holds no control characters, not even escaped."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)

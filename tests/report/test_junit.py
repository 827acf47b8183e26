"""The JUnit file: what the schemas of Ant and Jenkins ask for, and a run that can't be judged is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from kvassay.report.junit import write_junit
from kvassay.report.view import build_view
from report.synthetic_run import SyntheticRun, verdict


def written(path: Path, *, fault: str = "") -> ET.Element:
    run = SyntheticRun()
    write_junit(build_view(run, replace(verdict(run), fault=fault)), path)
    return ET.parse(path).getroot()


def test_the_file_has_what_both_schemas_ask_for(tmp_path: Path) -> None:
    """Ant's wants properties first, output last, and of a case at most one result."""
    suite = written(tmp_path / "junit.xml")
    assert suite.attrib.keys() == {"name", "timestamp", "hostname", "time", "tests", "failures", "errors", "skipped"}
    tags = [child.tag for child in suite]
    cases = tags.count("testcase")
    assert tags == ["properties", *["testcase"] * cases, "system-out", "system-err"]
    assert suite.get("tests") == str(cases)
    for case in suite.iter("testcase"):
        assert case.attrib.keys() == {"classname", "name", "time"}
        assert len(case) <= 1
        assert {result.tag for result in case} <= {"failure", "skipped"}


def test_what_passes_is_told_in_the_suites_output(tmp_path: Path) -> None:
    """Every arm's sentence is there."""
    said = written(tmp_path / "junit.xml").findtext("system-out") or ""
    assert all(arm.sentence in said for arm in verdict(SyntheticRun()).arms)


def test_a_run_that_cannot_be_judged_is_an_error(tmp_path: Path) -> None:
    """Skipped cases alone would show green."""
    suite = written(tmp_path / "junit.xml", fault="too many pairs were dropped")
    assert suite.get("errors") == "1"
    (error,) = suite.iter("error")
    assert error.get("message") == "no verdict can be relied on: too many pairs were dropped"


def test_control_characters_in_a_models_name_leave_the_file_readable(tmp_path: Path) -> None:
    """A file's header may name a model by any characters."""
    view = build_view(SyntheticRun(), verdict(SyntheticRun()))
    design = view.design.model_copy(update={"model_name": "m\x1b[31m\x00\udcff"})
    write_junit(replace(view, manifest=view.manifest.model_copy(update={"design": design})), tmp_path / "j.xml")
    assert ET.parse(tmp_path / "j.xml").getroot().get("name") == "kvassay m?[31m??"

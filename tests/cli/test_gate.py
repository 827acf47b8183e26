"""`--fail-on` and `--junit`: a verdict as CI sees it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from cli.scripted_runs import finish, new_run, rows


def test_a_degraded_candidate_closes_the_gate_with_10(tmp_path: Path) -> None:
    """The message names it, the reports are written all the same, and JUnit calls it a failure."""
    junit = tmp_path / "verdicts" / "junit.xml"
    done = finish(tmp_path, *new_run(tmp_path), "--fail-on", "degraded", "--junit", junit)
    assert done.returncode == 10, done.stderr
    assert "--fail-on degraded: q8_0/q8_0 is degraded" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "report.html").exists()
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "2", "0")
    assert {case.get("classname") for case in suite.iter("testcase")} == {"q8_0/q8_0"}
    assert all(failure.get("type") == "degraded" for failure in suite.iter("failure"))


def test_without_the_flag_a_verdict_is_no_error(tmp_path: Path) -> None:
    """A run that found harm did its job."""
    assert finish(tmp_path, *new_run(tmp_path)).returncode == 0


def test_an_unproven_candidate_closes_the_gate_only_where_proof_is_asked(tmp_path: Path) -> None:
    """Eight equal pairs prove nothing: inconclusive is skipped in JUnit, and fails under unproven."""
    attach = ["--attach", "f16/f16=http://a", "--attach", "f16/q8_0=http://b"]
    junit = tmp_path / "junit.xml"
    asked = ["run", *attach, *new_run(tmp_path)[7:], "--junit", junit]
    assert finish(tmp_path, *asked, "--fail-on", "degraded").returncode == 0
    assert ET.parse(junit).getroot().get("skipped") == "2"
    done = finish(tmp_path, *asked, "--fail-on", "unproven")
    assert done.returncode == 10
    assert "f16/q8_0 is inconclusive" in done.stderr


def test_a_run_without_a_candidate_proves_nothing(tmp_path: Path) -> None:
    """Nothing was judged, so that nothing can pass, whatever the gate."""
    reference = ["--attach", "f16/f16=http://a", "--attach", "f16/f16=http://b"]
    done = finish(tmp_path, "run", *reference, *new_run(tmp_path)[7:], "--fail-on", "degraded")
    assert done.returncode == 11, done.stderr
    assert "no candidate has a pair to judge" in done.stderr


def test_a_junit_file_that_cant_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    """Hours later no command could make the file from the store."""
    done = finish(tmp_path, *new_run(tmp_path), "--junit", tmp_path)
    assert done.returncode == 5, done.stderr
    assert "JUnit file" in done.stderr
    assert rows(tmp_path) == set()

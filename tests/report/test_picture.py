"""The picture as a file of its own: needs nothing beside it, shows the arms that were asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from assay import values
from kvassay.assay.store import Store
from kvassay.cli.report import report
from kvassay.errors import ConfigError
from kvassay.report import build_view
from kvassay.report.picture import picture
from report.replayed_run import ReplayedRun
from report.synthetic_run import ARMS, SyntheticRun, verdict

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*arms: str) -> str:
    run = SyntheticRun()
    return picture(build_view(run, verdict(run)), arms)


def test_every_colour_that_it_uses_is_in_it() -> None:
    """It is well-formed XML, fetches nothing, and no name of its style is undefined."""
    text = drawn()
    assert ET.fromstring(text).tag == f"{SVG}svg"
    assert {*re.findall(r"var\((--[\w-]+)\)", text)} <= {*re.findall(r"(--[\w-]+):", text)}
    assert "url(" not in text
    assert text.count("http") == 1  # the namespace


def test_it_shows_the_arms_that_are_named_and_refuses_others() -> None:
    """Labels are those of the report; an unknown one is answered with those that there are."""
    first, second = ARMS[0].label, ARMS[1].label
    names = {node.text for node in ET.fromstring(drawn(first, second)).iter(f"{SVG}text")}
    assert {first, second} <= names
    assert not names & {arm.label for arm in ARMS[2:]}
    with pytest.raises(ConfigError, match="no arm 'f17/f17'") as caught:
        drawn("f17/f17")
    assert first in caught.value.hint


def test_of_a_replay_it_is_the_timeline_without_a_word_of_the_session() -> None:
    """A row of signs for each arm and its count; no call and no prompt."""
    run = ReplayedRun()
    text = picture(build_view(run, verdict(run)), ["f16/f16", "q4_0/f16"])
    tree = ET.fromstring(text)
    said = [node.text for node in tree.iter(f"{SVG}text")]
    assert [sign for sign in said if sign in {"✓", "!"}] == [*"✓✓✓✓✓!"]
    assert {"f16/f16", "q4_0/f16", "3 of 3", "2 of 3", "0.3k"} <= {*said}
    assert sum("first-other" in node.get("class", "") for node in tree.iter(f"{SVG}g")) == 1
    assert {*re.findall(r"var\((--[\w-]+)\)", text)} <= {*re.findall(r"(--[\w-]+):", text)}
    assert not re.search(r"pytest|a\.py|rm -rf", text)


def room(tree: ET.Element, label: str) -> tuple[float, float]:
    """From where to where a label may reach: its anchor, and the picture's edge (or the first cell) on its far side."""
    x0, _, width, _ = map(float, (tree.get("viewBox") or "").split())
    node = next(node for node in tree.iter(f"{SVG}text") if node.text == label)
    at = float(node.get("x") or 0)
    cells = [float(rect.get("x") or 0) for rect in tree.iter(f"{SVG}rect")]
    return (x0, at) if node.get("text-anchor") == "end" else (at, min([x0 + width, *cells]))


LONG = "q4_0[0-3=f16+20-23=q8_0]/q4_0[0-3=f16]"


@pytest.mark.parametrize("run", [SyntheticRun(), SyntheticRun(depths=(4096,)), ReplayedRun()])
def test_a_label_that_names_layers_is_shown_whole(run: SyntheticRun) -> None:
    """It does not run out of the picture, nor into the cells."""
    run = replace(run, arms=(*ARMS[:3], ARMS[3].model_copy(update={"label": LONG})))
    low, high = room(ET.fromstring(picture(build_view(run, verdict(run)))), LONG)
    assert high - low >= 7 * len(LONG)


@pytest.mark.parametrize("depths", [3, 4, 5, 6])
def test_rows_of_dots_for_many_depths_fit_the_page(depths: int) -> None:
    """No depth lies beyond the column's right edge, and each has room for its count."""
    many = (ARMS[2].model_copy(update={"label": f"q8_0/q8_0 {n}"}) for n in range(8))
    run = SyntheticRun(depths=tuple(2048 * (n + 1) for n in range(depths)), arms=(*ARMS[:2], *many))
    tree = ET.fromstring(picture(build_view(run, verdict(run))))
    assert float(tree.get("viewBox", "").split()[2]) <= 1104
    counts = sorted({float(node.get("x") or 0) for node in tree.iter(f"{SVG}text") if "/" in (node.text or "")})
    assert len(counts) >= depths


def test_arms_without_a_picture_are_refused() -> None:
    """They would do nothing."""
    refused = CliRunner().invoke(report, ["--arm", "f16/f16"]).exception
    assert isinstance(refused, ConfigError)
    assert "only with --picture" in refused.message


def test_an_arm_that_the_run_has_not_is_refused_before_anything_is_said_or_written(tmp_path: Path) -> None:
    """Nobody should scroll past a whole report to find out that the picture is missing."""
    place = tmp_path / "kvassay.sqlite"
    with Store(place, write=True) as store:
        store.begin(values.manifest(), values.session(), values.probes("recall/0"))
    svg = tmp_path / "success.svg"
    result = CliRunner().invoke(report, ["--store", str(place), "--picture", str(svg), "--arm", "f17/f17"])
    assert isinstance(result.exception, ConfigError)
    assert "no arm 'f17/f17'" in result.exception.message
    assert result.output == ""
    assert not svg.exists()
    assert not (tmp_path / "report.html").exists()

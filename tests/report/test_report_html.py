"""The HTML report as a file: self-contained, escaped, small in memory, written whole or not at all."""

from __future__ import annotations

import io
import json
import re
import resource
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from kvassay.assay.records import SessionRecord
from kvassay.errors import KvassayError
from kvassay.report import build_view, print_report, write_reports
from kvassay.report.explorer import answer_words, data_blocks, expected_words
from kvassay.report.html import grids, render_html
from kvassay.report.words import interval_points
from kvassay.stats.paired import newcombe_interval
from kvassay.types import BootRecord, ChatReply, ExpectedCall, Trial, WireCall
from report.synthetic_run import ARMS, SESSION, SyntheticRun, verdict

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>\u2028\ud800'\"&`"


class Page(HTMLParser):
    """A page's tags with their attributes, and the text of its script and style elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.raw.append((self.tags[-1][1], data))


def rendered(run: SyntheticRun) -> str:
    """The page of a run."""
    return "".join(render_html(run, build_view(run, verdict(run))))


def test_the_page_is_self_contained_and_its_policy_allows_only_itself() -> None:
    """No address but the policy's; one style sheet and one script, each allowed by its own hash."""
    text = rendered(SyntheticRun())
    page = Page(text)
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    own = [body for attributes, body in page.raw if "type" not in attributes]
    assert len(own) == 2
    for body in own:
        assert b64encode(sha256(body.encode()).digest()).decode() in policy
    assert not [a for _, a in page.tags if "style" in a or any(name.startswith("on") for name in a)]


def test_sensitivity_figures_stand_in_a_fold_of_their_own_beside_the_runs_figures() -> None:
    """Of 12 pairs at 2k q4_0/f16 loses 6: p 1/64, mid-p half of it; Newcombe at 90 %; e-BH calls that arm alone."""
    run = SyntheticRun()
    fold = re.search(r'<details class="sensitivity">.*?</details>', rendered(run), re.DOTALL)
    assert fold is not None
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", fold[0])]
    low, high = newcombe_interval(6, 6, 0, 0, level=0.9)
    assert ["q4_0/f16", "2k", "0.016", "0.0078"] in [row[:4] for row in cells]
    assert interval_points(low, high) in [row[5] for row in cells if row[:2] == ["q4_0/f16", "2k"]]
    assert [row[5] for row in cells if row[:2] == ["q4_0/f16", "all"]] == ["–"]
    assert [row[-1] for row in cells[-3:]] == ["–", "worse", "–"]
    assert "decide nothing" in fold[0]


def test_every_figure_has_its_source() -> None:
    """The table of sources names the paper of each method that a table of the page is headed by."""
    found = re.search(r'<table class="sources">.*?</table>', rendered(SyntheticRun()), re.DOTALL)
    assert found is not None
    for method in ("McNemar", "mid-p", "Tango", "Newcombe", "Wilson", "Holm", "Closed testing", "e-BH", "clustered t",
                   "sign-flip", "e of harm", "e of within", "K × depth", "Pairs still needed"):  # fmt: skip
        assert method in found[0]
    assert all(re.search(r"(1[89]|20)\d\d|by definition", row) for row in found[0].split("<tr>")[2:])


def test_hostile_text_stays_text_wherever_it_comes_from() -> None:
    """Outputs, tool names, prompts, labels, notes and warnings can't add an element or end a script."""
    run = SyntheticRun(
        hostile=HOSTILE,
        arms=(*ARMS[:3], ARMS[3].model_copy(update={"label": f"q4_0/f16{HOSTILE}"})),
        families=(HOSTILE,),
    )
    view = build_view(run, verdict(run))
    view = replace(view, verdict=replace(view.verdict, headline=HOSTILE, notes=(HOSTILE,)))
    harmless = Page(rendered(SyntheticRun(arms=ARMS[:4], families=("recall",))))
    page = Page("".join(render_html(run, view)))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert sum(tag == "script" for tag, _ in page.tags) == sum(tag == "script" for tag, _ in harmless.tags)


def unfolded(rows: list[list], columns: tuple[int, ...]) -> list[list]:
    """What explorer.js does: numbers in text columns name earlier texts."""
    texts: list[str] = []
    for row in rows:
        for at in columns:
            if isinstance(row[at], int):
                row[at] = texts[row[at]]
            else:
                texts.append(row[at])
    return rows


def test_the_explorers_data_gives_back_every_text() -> None:
    """After interning and escaping, each trial's answer and each probe's whole prompt are what they were."""
    run = SyntheticRun(hostile=HOSTILE)
    blocks = {name: "".join(pieces) for name, pieces in data_blocks(run, build_view(run, verdict(run)))}
    assert not [name for name, text in blocks.items() if "<" in text or not text.isascii()]
    trials = unfolded(json.loads(blocks["kv-trials"]), (4, 5))
    assert [row[5] for row in trials] == [trial.turn.text for trial in run.trials()]
    probes, prefixes = unfolded(json.loads(blocks["kv-probes"]), (5, 6)), json.loads(blocks["kv-prefixes"])
    assert prefixes == [None, SESSION]
    lengths = {rung.depth: len(rung.prefix_text) for rung in run.session().rungs}
    for row, record in zip(probes, run.probes(), strict=True):
        assert row[0] == record.probe.id
        assert (prefixes[row[7]] or prefixes[-1])[: row[8]] + row[6] == SESSION[
            : lengths[record.depth]
        ] + record.suffix_text


def test_the_grid_of_k_against_v_appears_where_the_arms_make_one() -> None:
    """Three K by three V types, more than half of them run: one table a depth, empty where no arm has the pair."""
    four = ARMS[3].model_copy(update={"label": "q4_0/q4_0", "v": "q4_0"})
    run = SyntheticRun(arms=(*ARMS, four))
    first, _ = grids(build_view(run, verdict(run)))
    assert first.v_types == ("f16", "q8_0", "q4_0")
    rows = {k: [rate and rate.correct for rate in rates] for k, rates in first.rows}
    assert rows == {"f16": [12, None, 12], "q8_0": [None, 12, None], "q4_0": [6, None, 12]}
    assert grids(build_view(SyntheticRun(arms=ARMS[:3]), verdict(SyntheticRun(arms=ARMS[:3])))) == []


def test_expected_calls_and_chat_replies_are_put_into_words() -> None:
    """Alternatives and accepted values are spelled out; a chat reply shows status, content and calls."""
    call = ExpectedCall("read", {"path": ("a.py", "./a.py"), "line": (3,)})
    assert expected_words(((call,), ())) == 'read(path = "a.py" | "./a.py", line = 3)\nor no tool call'
    trial = next(SyntheticRun().trials())
    reply = ChatReply(content="Well", calls=(WireCall("read", '{"path": "a.py"'),), status=500, error="does not match")
    assert (
        answer_words(replace(trial, reply=reply)) == 'HTTP 500: does not match\nWell\ntool call read: {"path": "a.py"'
    )


def test_20000_trials_take_little_memory(tmp_path: Path) -> None:
    """View and both reports of 20,000 trials stay far below 200 MB at their peak."""
    run = SyntheticRun(depths=(2048, 8192, 32768, 131072), probes_per_family=334)
    judged = verdict(run)
    tracemalloc.start()
    try:
        paths = write_reports(run, judged, tmp_path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200e6
    assert json.loads(paths.json.read_text())["trials"] == 20_040


class Alone(SyntheticRun):
    """A stand-alone suite: no session, depth 0, its probes the whole prompt."""

    def session(self) -> SessionRecord:
        return SessionRecord((), (), ())


class Empty(Alone):
    """A run stopped before its first boot."""

    def trials(self) -> Iterator[Trial]:
        return iter(())

    def boots(self) -> Sequence[BootRecord]:
        return ()


class Elsewhere(SyntheticRun):
    """Its boots were on workers."""

    def boots(self) -> Sequence[BootRecord]:
        first, *rest = super().boots()
        return (
            replace(first, facts=replace(first.facts, devices=("host <gpu07>: Xeon · 64 cores", "CPU: Xeon"))),
            *rest,
        )


def test_a_boot_on_another_machine_names_it() -> None:
    """Escaped, once for each such boot; one on the run's own host names none."""
    run = Elsewhere()
    page = "".join(render_html(run, build_view(run, verdict(run))))
    assert page.count("<p>On host &lt;gpu07&gt;: Xeon · 64 cores</p>") == 1


@pytest.mark.parametrize("run", [Alone(depths=(0,)), Empty(depths=(0,)), Empty()], ids=["alone", "empty", "unstarted"])
def test_runs_without_session_or_trials_have_reports_too(run: SyntheticRun, tmp_path: Path) -> None:
    """Nothing in front of the probes, or nothing asked at all: both reports and the terminal still say so."""
    view = build_view(run, verdict(run))
    paths = write_reports(run, view.verdict, tmp_path, view=view)
    out = io.StringIO()
    print_report(view, Console(file=out, width=80), html=paths.html)
    assert view.verdict.headline[:40] in out.getvalue()
    assert "<h1>" in paths.html.read_text("utf-8")


# ------------------------------------------------------------------ writing


def test_reports_are_written_side_by_side_and_nothing_else(tmp_path: Path) -> None:
    """Both files, no temporary one; a second writing replaces them."""
    run = SyntheticRun()
    for _ in range(2):
        paths = write_reports(run, verdict(run), tmp_path / "new" / "out")
    assert sorted(path.name for path in paths.html.parent.iterdir()) == ["report.html", "report.json"]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    """A folder that can't be made gives one clear message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(KvassayError, match=r"report\.json' can't be written"):
        write_reports(SyntheticRun(), verdict(SyntheticRun()), tmp_path / "file" / "out")


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let files grow further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_the_old_report_whole(tmp_path: Path) -> None:
    """Running out of room raises one clear message, keeps what was there and leaves no half file."""
    run = SyntheticRun()
    old = write_reports(run, verdict(run), tmp_path).html.read_bytes()
    with file_size_limit(40_000), pytest.raises(KvassayError, match=r"report\.html' can't be written") as caught:
        write_reports(run, verdict(run), tmp_path)
    assert "Free some space" in caught.value.hint
    assert (tmp_path / "report.html").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]

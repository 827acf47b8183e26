"""The HTML report in headless Chromium, used as a person would: filter, choose, compare, open the prompt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from kvassay.report import write_reports
from kvassay.types import Channel
from kvassay.verdict import Verdict
from report.replayed_run import ReplayedRun
from report.synthetic_run import ARMS, SyntheticRun, verdict

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH"),
]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1000",
)  # fmt: skip
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"

Chrome: TypeAlias = webdriver.Chrome


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that writes down what its console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def opened(chrome: Chrome, run: SyntheticRun, folder: Path, *, judged: Verdict | None = None) -> None:
    """Open a run's report and wait until the explorer stands."""
    chrome.get(write_reports(run, judged or verdict(run), folder).html.as_uri())
    WebDriverWait(chrome, 60).until(lambda d: "answers" in d.find_element(By.ID, "count").text)


def at(chrome: Chrome, css: str) -> WebElement:
    """The first element of a selector, scrolled into view."""
    found = chrome.find_element(By.CSS_SELECTOR, css)
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def choose(chrome: Chrome, name: str, text: str) -> None:
    """Set one filter."""
    Select(at(chrome, f"#f-{name}")).select_by_visible_text(text)


def counted(chrome: Chrome, text: str) -> None:
    """Wait until the list says how many answers there are."""
    WebDriverWait(chrome, 30).until(lambda d: d.find_element(By.ID, "count").text == text)


def marks(chrome: Chrome) -> list[str]:
    """What is marked as different: left, then right."""
    return [
        "".join(m.text for m in side.find_elements(By.TAG_NAME, "mark"))
        for side in chrome.find_elements(By.CLASS_NAME, "side")
    ]


@pytest.fixture
def page(chrome: Chrome, tmp_path: Path) -> Iterator[Chrome]:
    """A small report with two channels, whose texts all try to break out; at the end nothing may have complained."""
    opened(chrome, SyntheticRun(channels=(Channel.RAW, Channel.PLAIN), hostile=HOSTILE), tmp_path)
    yield chrome
    assert chrome.get_log("browser") == []
    assert chrome.title == "kvassay: qwen2.5-coder-1.5b-instruct-q4_k_m"


def test_from_filter_to_answers_to_prompt(page: Chrome) -> None:
    """Filter to what the candidate lost, choose one: both answers, the difference marked, the prompt a click away."""
    counted(page, "240 of 240 answers")
    for name, text in (("arm", "q4_0/f16"), ("depth", "2k"), ("family", "edit"), ("channel", "raw")):
        choose(page, name, text)
    counted(page, "4 of 240 answers")
    at(page, "#f-lost").click()
    counted(page, "2 of 240 answers")
    choose(page, "kind", "hallucinated parameter")
    counted(page, "2 of 240 answers")

    at(page, "#rows li:nth-child(2) button").click()
    answers = [pre.text for pre in page.find_elements(By.CSS_SELECTOR, ".side pre")]
    assert '"line": 2}' in answers[0]
    assert '"line": 102}' in answers[1]
    assert HOSTILE in answers[1]
    assert marks(page) == ["2", "102"]
    assert [s.text for s in page.find_elements(By.CSS_SELECTOR, ".side .outcome")] == [
        "✓ right", "✗ hallucinated parameter",
    ]  # fmt: skip
    assert "argument 'line' is 102" in at(page, ".side[data-side=right] .why").text
    assert "100 prompt tokens in 0.5 s" in at(page, ".side[data-side=right] .timing").text
    assert "src/edit-0002.py" in at(page, ".expected").text

    assert not page.find_elements(By.CSS_SELECTOR, ".prompt pre")
    at(page, ".prompt summary").click()
    WebDriverWait(page, 10).until(lambda d: d.find_elements(By.CSS_SELECTOR, ".prompt .suffix"))
    assert at(page, ".prompt .prefix").text.startswith("<|im_start|>system\nYou are a coding agent.")
    assert "Open src/edit-0002.py at line 2." in at(page, ".prompt .suffix").text


def test_any_two_arms_can_stand_side_by_side(page: Chrome) -> None:
    """Either side can be turned to another arm's answer to the same probe."""
    choose(page, "arm", "q4_0/f16")
    at(page, "#f-lost").click()
    at(page, "#rows button").click()
    Select(at(page, ".side[data-side=left] select")).select_by_visible_text("q8_0/q8_0")
    assert marks(page) == ["0", "100"]
    Select(at(page, ".side[data-side=right] select")).select_by_visible_text("f16/q4_0")
    assert marks(page) == ["", ""]
    assert "the same, character for character" in at(page, ".difference").text


def test_a_verdict_leads_to_the_answers_it_lost(page: Chrome) -> None:
    """The button under a verdict shows exactly the pairs that it counts."""
    buttons = [b for b in page.find_elements(By.CLASS_NAME, "jump") if b.is_displayed()]
    assert [b.text for b in buttons] == ["See the 18 answers it lost"]
    buttons[0].click()
    counted(page, "18 of 240 answers")


def test_answers_lost_where_the_verdict_does_not_look_are_said_to_be_of_the_whole_run(
    chrome: Chrome, tmp_path: Path
) -> None:
    """A verdict of the shallow depth alone: it counts 6 of the 18."""
    run = SyntheticRun()
    judged = verdict(run)
    arms = [replace(arm, overall=arm.by_depth[0]) for arm in judged.arms]
    opened(chrome, run, tmp_path, judged=replace(judged, arms=tuple(arms)))
    assert at(chrome, ".jump[data-arm='q4_0/f16']").text == "See the 18 answers it lost in the whole run"


def test_text_search_and_clearing(page: Chrome) -> None:
    """Search looks into answers, details and probe names; Clear brings everything back."""
    at(page, "#f-text").send_keys("NESTED-0003")
    counted(page, "20 of 240 answers")
    at(page, "#filters button[type=reset]").click()
    counted(page, "240 of 240 answers")


def test_the_list_works_by_keyboard(page: Chrome) -> None:
    """Arrow keys move through the list, Enter opens."""
    at(page, "#rows button").send_keys(Keys.ARROW_DOWN)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert at(page, "#rows li:nth-child(2) button").get_attribute("aria-current") == "true"
    assert page.find_elements(By.CLASS_NAME, "side")


def test_a_cell_of_the_timeline_shows_the_answers_side_by_side(chrome: Chrome, tmp_path: Path) -> None:
    """By mouse and by keyboard; the cell that was chosen is marked, the first irreversible divergence framed."""
    opened(chrome, ReplayedRun(), tmp_path)
    cells = chrome.find_elements(By.CSS_SELECTOR, ".timeline tbody tr:nth-child(4) .cell")
    assert [cell.text for cell in cells] == ["✓", "✓", "!"]
    assert "first-other" in (cells[2].get_attribute("class") or "")
    at(chrome, ".timeline tbody tr:nth-child(4) td:nth-child(4) .cell").click()
    assert at(chrome, "#detail h3").text == "replay/3"
    left, right = (pre.text for pre in chrome.find_elements(By.CSS_SELECTOR, ".side pre"))
    assert "pytest -q" in left
    assert "rm -rf" in right
    assert "recorded: bash" in at(chrome, ".expected").text
    assert cells[2].get_attribute("aria-current") == "true"
    at(chrome, ".timeline tbody tr:nth-child(1) td:nth-child(3) .cell").send_keys(Keys.ENTER)
    assert at(chrome, "#detail h3").text == "replay/2"
    assert cells[2].get_attribute("aria-current") is None
    assert chrome.get_log("browser") == []


def test_one_turns_page_fits_a_phone_and_its_cells_open(chrome: Chrome, tmp_path: Path) -> None:
    """The arms' answers stand below each other; many seeds scroll in their own box."""
    opened(chrome, ReplayedRun(seeds=40), tmp_path)
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= 400
        places = {article.rect["x"] for article in chrome.find_elements(By.CSS_SELECTOR, ".beside article")}
        assert len(places) == 1
        at(chrome, ".timeline tbody tr:nth-child(4) td:nth-child(3) .cell").click()
        assert at(chrome, "#detail h3").text == "replay/3@1"
    finally:
        chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert chrome.get_log("browser") == []


def test_20000_trials_stay_usable(chrome: Chrome, tmp_path: Path) -> None:
    """A report of 20,040 trials loads, pages, filters and searches."""
    text = (
        '{{"name": "edit", "arguments": {{"path": "src/{probe}.py", "line": {line}, "old": "'
        + "x = f(y)  # {arm} at {depth}\\n" * 20
        + '"}}}}'
    )
    run = SyntheticRun(depths=(2048, 8192, 32768, 131072), probes_per_family=334, text=text)
    opened(chrome, run, tmp_path)
    counted(chrome, "20,040 of 20,040 answers")
    assert len(chrome.find_elements(By.CSS_SELECTOR, "#rows li")) == 100
    at(chrome, "#next").click()
    assert at(chrome, "#page").text == "page 2 of 201"
    choose(chrome, "arm", ARMS[3].label)
    counted(chrome, "4,008 of 20,040 answers")
    at(chrome, "#f-text").send_keys("recall-0333")
    counted(chrome, "4 of 20,040 answers")
    at(chrome, "#rows button").click()
    assert len(chrome.find_elements(By.CLASS_NAME, "side")) == 2
    ready_ms = chrome.execute_script("return performance.getEntriesByName('kvassay-ready')[0].startTime")
    print(f"20,040 trials, {(tmp_path / 'report.html').stat().st_size / 1e6:.1f} MB: ready after {ready_ms:.0f} ms")  # noqa: T201 - a measurement to read with -s, too machine-bound to assert
    assert chrome.get_log("browser") == []


def test_narrow_pages_do_not_scroll_sideways(page: Chrome) -> None:
    """On a phone's 400 pixels wide tables scroll in their own boxes, not the page."""
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        at(page, "#rows button").click()
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

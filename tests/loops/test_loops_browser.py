"""The page of closed loops in headless Chromium: a click on a turn shows it, the arrow keys go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from kvassay.loops.report import write_loops
from kvassay.loops.view import build_loops_view
from loops.test_play import says, settings, stored

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH"),
]
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


def test_each_turn_shows_what_was_said_and_what_came_back(tmp_path: Path) -> None:
    run = stored(
        tmp_path, settings(families="bug", turns=4), lambda _prompt, _arm: says("read_file", file_path=HOSTILE)
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(write_loops(build_loops_view(run), tmp_path).html.as_uri())
        pane = driver.find_element(By.ID, "turn")
        assert not pane.is_displayed()
        driver.set_window_size(400, 900)  # the table's head is not shown there
        said = "return getComputedStyle(document.querySelector('.answers [data-label]'), '::before').content"
        assert "Done" in driver.execute_script(said)
        turn = driver.find_element(By.CSS_SELECTOR, "button.turn")
        turn.click()
        assert "turn 1 of 4" in pane.text
        assert "Now something else: a small project" in pane.text
        assert HOSTILE in pane.text.replace('\\"', '"')
        driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        assert "turn 3 of 4" in pane.text
        assert "L1: the same call with the same result" in pane.text
        assert driver.title != "owned"
        assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
    finally:
        driver.quit()

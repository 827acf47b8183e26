"""The live page in headless Chromium: what it shows, that it follows, and that no model's words can break out of it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import TypeAlias

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from guard.turns import answer, ask, sized
from guard.wires import Heard, scripted
from kvassay.guard.guard import running
from kvassay.guard.options import PREFIX, Address, Options

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH"),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--window-size=1200,1000",
)
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>\u202e" + "w" * 150
SHOWN = HOSTILE.replace("\u202e", "\ufffd")  # a right-to-left mark would turn round what stands beside it

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


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A guard in a thread; its upstream's model says hostile things in names, arguments and the model's own name."""
    ports: Queue[int] = Queue()
    ended = threading.Event()
    store: Path = tmp_path_factory.mktemp("guard") / "g.sqlite"

    async def hostile(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(sized(answer(HOSTILE, '{"path": "' + HOSTILE.replace('"', '\\"') + '"}')))

    async def serve() -> None:
        async with scripted(hostile) as upstream:
            options = Options(
                f"http://127.0.0.1:{upstream.port}",
                Address("127.0.0.1", 0),
                store=store,
                keep_bodies=True,
                kv="q8_0/q4_0",
            )
            async with running(options) as guard:
                ports.put(guard.listen.port)
                await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    yield ports.get(timeout=60)
    ended.set()
    thread.join()


def turn(port: int, user: str) -> None:
    """One turn through the guard."""
    body = ask(user=user).replace(b'"model": "m"', b'"model": "<b>m</b>"')
    httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", content=body)


def test_hostile_words_stay_words_and_the_page_follows(chrome: Chrome, port: int) -> None:
    chrome.get(f"http://127.0.0.1:{port}{PREFIX}/")
    wait = WebDriverWait(chrome, 60)
    wait.until(lambda d: d.find_element(By.ID, "live").text == "live")
    assert chrome.find_element(By.TAG_NAME, "h1").text == "Waiting for the first turn"
    turn(port, HOSTILE)
    wait.until(lambda d: d.find_element(By.TAG_NAME, "h1").text == "1 of 1 graded turn failed (100 %)")
    turn(port, HOSTILE)
    wait.until(lambda d: d.find_element(By.TAG_NAME, "h1").text == "2 of 2 graded turns failed (100 %)")
    assert [m.text for m in chrome.find_elements(By.CSS_SELECTOR, ".strip .mark")] == ["M3", "M3"]
    assert "<b>m</b> · q8_0/q4_0" in chrome.find_element(By.ID, "legend").text
    assert chrome.find_element(By.CSS_SELECTOR, "#classes tbody").text.startswith("M3 unknown tool 2")

    chrome.find_element(By.CSS_SELECTOR, "#failures button").click()
    wait.until(lambda d: len(d.find_elements(By.CSS_SELECTOR, ".pair pre")) == 2)
    question, said = (pre.text for pre in chrome.find_elements(By.CSS_SELECTOR, ".pair pre"))
    assert question == f"user: {SHOWN}"
    assert said.startswith(f"→ {SHOWN} ")
    shown = chrome.find_element(By.ID, "turn").text
    assert "save turn-2.json, then run kvassay replay turn-2.json --turn 1 --kv q8_0/q4_0 MODEL" in shown
    assert "curl --json @request-2.json" in shown

    assert chrome.title == "kvassay guard"
    assert not chrome.find_elements(By.CSS_SELECTOR, "main img, main script, [onerror], [onload], main b")
    assert chrome.get_log("browser") == []


def test_a_page_of_another_origin_gets_nothing(chrome: Chrome, port: int, tmp_path: Path) -> None:
    """From a local file (origin null) a script can neither read the page nor make the model speak."""
    (tmp_path / "evil.html").write_text("<!doctype html><title>evil</title>", encoding="utf-8")
    chrome.get((tmp_path / "evil.html").as_uri())
    script = """
      const done = arguments[arguments.length - 1];
      fetch(arguments[0], arguments[1]).then(r => r.text()).then(t => done("got " + t), e => done("refused"));
    """
    base = f"http://127.0.0.1:{port}"
    before = httpx.get(f"{base}{PREFIX}/state.json").json()["turns"]
    for path, how in (
        (f"{PREFIX}/state.json", {}),
        ("/v1/chat/completions", {"method": "POST", "body": ask().decode(), "headers": {"Content-Type": "text/plain"}}),
        ("/v1/models", {}),
    ):
        assert chrome.execute_async_script(script, base + path, how) == "refused"
    assert httpx.get(f"{base}{PREFIX}/state.json").json()["turns"] == before


def test_narrow_pages_do_not_scroll_sideways(chrome: Chrome, port: int) -> None:
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        chrome.get(f"http://127.0.0.1:{port}{PREFIX}/")
        wait = WebDriverWait(chrome, 60)
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "#failures button"))[0].click()
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".pair pre"))
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

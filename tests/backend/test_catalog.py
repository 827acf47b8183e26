"""The table of back ends: complete, and the same as what the documentation says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvassay.backend import BACKENDS
from kvassay.backend.catalog import CATALOG
from kvassay.backend.engines import ENGINES
from kvassay.cli.backends import backends
from kvassay.cli.run import run
from kvassay.settings import check

DOCS = Path(__file__).parents[2] / "docs" / "engines.md"
PROOF = {"real": "real engine", "recorded": "recorded", "source": "from source"}


def test_every_engine_has_a_row() -> None:
    """What can be attached to stands in the table, and the table names nothing else."""
    assert {name for name, row in CATALOG.items() if row.reach == "attached"} == {"attach", *ENGINES}
    assert set(BACKENDS) == set(CATALOG)


def test_engines_that_list_ids_have_alternatives_and_the_others_none() -> None:
    """The row's word on token ids is the engine's."""
    for name, engine in ENGINES.items():
        assert CATALOG[name].token_ids == (engine().most_alternatives > 0)


def test_the_documentation_says_how_each_was_tested() -> None:
    """docs/engines.md has one row for each, with the same word for its proof."""
    cells = dict(re.findall(r"^\| (\S+) \| ([a-z ]+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert cells == {name: PROOF[row.proof] for name, row in CATALOG.items()}


@pytest.mark.parametrize("line", [line for row in CATALOG.values() for line in row.usage])
def test_every_line_to_paste_is_understood(line: str) -> None:
    """The command lines that are printed parse, and their settings go together."""
    words = shlex.split(line)
    assert words[:2] == ["kvassay", "run"]
    params = run.make_context("run", words[2:]).params
    names = {"model", "backend", "attach", "serve", "url", "tokenizer", "server_binary", "dialect", "pairs"}
    given = {key: value for key, value in params.items() if key in names and value not in (None, ())}
    settings = check(given)
    assert settings.backend in CATALOG


def test_an_arm_is_an_endpoint() -> None:
    """--arm is --attach: each names one server and its pair."""
    params = run.make_context("run", ["m", "--arm", "f16=http://a", "--attach", "q4_0=http://b"]).params
    assert params["attach"] == ("f16=http://a", "q4_0=http://b")


def test_the_list_fits_a_terminal() -> None:
    """80 columns, every back end, and where to read on."""
    shown = CliRunner().invoke(backends, []).output
    assert max(map(len, shown.splitlines())) <= 80
    assert all(name in shown for name in CATALOG)
    one = CliRunner().invoke(backends, ["ollama"]).output
    assert "never ran in our tests" in one
    assert "--serve 'env OLLAMA_KV_CACHE_TYPE={k}" in one

"""The page of the house names every room, and every arrow between two of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "kvassay"
PAGE = ROOT / "docs" / "design" / "rooms.md"
GROUND = {"types", "errors", "units", "prefix", "extras", "wire", "fields", "kv_cache", "host", "address", "svg"}


def rooms() -> dict[str, Path]:
    """Folders and files of the package by name, without what Python wants (``__init__``, ``__main__``)."""
    found = {path.stem: path for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return {name: path for name, path in found.items() if not name.startswith("__")}


def arrows(room: Path) -> set[str]:
    """The rooms that a room's files import."""
    files = [room] if room.is_file() else room.rglob("*.py")
    names = {name for file in files for name in imported(ast.parse(file.read_text(encoding="utf-8")))}
    return {name.split(".")[1] for name in names if name.startswith("kvassay.")} - {room.stem}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file names, those of ``from kvassay import …`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def table() -> dict[str, set[str]]:
    """The page's rows: the rooms of the first column and what they lean on."""
    rows = re.findall(r"^\| (`.+?) \| .*? \| (.*?) ?\| .*?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"\w+", leans)) for names, leans in rows for name in re.findall(r"`(\w+)`", names)}


def test_the_page_names_every_room_and_no_other() -> None:
    """Folders and files alike."""
    assert set(table()) == set(rooms())


def test_the_page_names_every_arrow() -> None:
    """Those to the ground are said once; the command line leans on all."""
    found = {name: arrows(path) - GROUND for name, path in rooms().items() if name != "cli"}
    assert {name: leans for name, leans in table().items() if name != "cli"} == found

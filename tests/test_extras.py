"""The line that installs an optional part can be pasted where kvassay was installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

from kvassay import extras


class Installed:
    """What pip left of an installation: the text of direct_url.json, or none."""

    def __init__(self, note: dict[str, object] | None) -> None:
        self.note = note

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.note is None else json.dumps(self.note)


@pytest.mark.parametrize(
    ("note", "line"),
    [
        (None, "pip install 'kvassay[guard,otel]'"),
        ({"url": "file:///src/my%20own", "dir_info": {}}, "pip install '/src/my own[guard,otel]'"),
        ({"url": "file:///src", "dir_info": {"editable": True}}, "pip install -e '/src[guard,otel]'"),
        ({"url": "https://example.org/x.git", "vcs_info": {"vcs": "git"}}, "pip install 'kvassay[guard,otel]'"),
    ],
)
def test_an_extra_comes_from_where_kvassay_came_from(
    monkeypatch: pytest.MonkeyPatch, note: dict[str, object] | None, line: str
) -> None:
    """A package index has its name, a checkout its folder, spaces and all."""
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(note))
    assert extras.install_line("guard", "otel") == line


def test_without_an_installation_the_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout on PYTHONPATH has no notes of pip's."""

    def missing(_: str) -> Installed:
        raise PackageNotFoundError

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.install_line("ray") == "pip install 'kvassay[ray]'"

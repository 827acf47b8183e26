"""The table of back ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.backend import BACKENDS, cache_types, make
from kvassay.backend.catalog import CATALOG
from kvassay.errors import BootFailed, ConfigError
from kvassay.extras import install_line
from kvassay.types import Arm, KVConfig

MODEL = Path("m.gguf")


@pytest.mark.parametrize("name", BACKENDS)
def test_each_is_made_by_its_name(name: str) -> None:
    """A back end calls itself what the table calls it, and its usual reference is of its own types."""
    backend = make(name, model_path=MODEL, url="http://127.0.0.1:1")
    assert backend.name == name
    assert backend.cache_types == cache_types(name)
    assert set(CATALOG[name].reference.split("/")) <= set(backend.cache_types)


def test_an_unknown_name_is_refused() -> None:
    """The error lists the names there are."""
    with pytest.raises(ConfigError) as caught:
        make("lamma", model_path=MODEL)
    assert caught.value.hint.startswith("Known: embedded, llama-server, attach, ")


def test_a_missing_model_is_refused() -> None:
    """Back ends that start a server need a model."""
    with pytest.raises(ConfigError, match="needs a model"):
        make("embedded")


def test_server_flags_need_a_binary() -> None:
    """The embedded server has no command line; flags meant for one are not dropped in silence."""
    with pytest.raises(ConfigError, match="'--mlock' need the back end llama-server"):
        make("embedded", model_path=MODEL, extra_args=["--mlock"])


@pytest.mark.parametrize(
    ("url", "words"),
    [(None, "no URL"), ("127.0.0.1:8080", "no server's address"), ("http://host:port", "no server's address")],
)
def test_attach_needs_a_url(url: str | None, words: str) -> None:
    """A missing or incomplete URL is said before anything is tried."""
    with pytest.raises(ConfigError, match=words):
        make("attach", url=url).open(Arm(KVConfig("f16", "f16")), context_tokens=512)


def test_nothing_answers() -> None:
    """A URL at which nothing listens is BootFailed with the URL."""
    with pytest.raises(BootFailed, match=r"nothing answers at http://127\.0\.0\.1:1"):
        make("attach", url="http://127.0.0.1:1/v1/").open(Arm(KVConfig("f16", "f16")), context_tokens=512)


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers is made without its packages; opened without them it says what to install."""
    monkeypatch.setattr("kvassay.backend.in_process.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="needs torch and transformers and gguf, not installed here") as caught:
        make("transformers", model_path=MODEL).open(Arm(KVConfig("f16", "f16")), context_tokens=8)
    assert caught.value.hint == f"Install it: {install_line('transformers')}"

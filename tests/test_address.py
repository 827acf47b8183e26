"""Addresses of servers: one reading, and no secret in a message."""

from __future__ import annotations

import pytest

from kvassay.address import server_url
from kvassay.errors import ConfigError

KEYS = "Keys go elsewhere."


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://llm.lan/prefix/v1", "https://llm.lan/prefix/v1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_taken_as_it_is_without_slashes_at_its_end(text: str, url: str) -> None:
    assert server_url(text, keys=KEYS) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "127.0.0.1:8080", "localhost:8080", "ftp://x", "http://", "http://x:y", "http://[::1", "http://h:99999",
        "http://h:0", "http://a b:80", "http://h\n", "http://a..b", "http://999.1.1.1", "http://\u2603.net",
        "http://h\u200b:80", f"http://{'a' * 64}", "http://[::1]x:80", "::1:8080",
    ],
)  # fmt: skip
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is no server's address") as caught:
        server_url(text, keys=KEYS)
    assert repr(text) in str(caught.value)


def test_an_address_without_its_scheme_is_guessed() -> None:
    with pytest.raises(ConfigError) as caught:
        server_url("127.0.0.1:8080", keys=KEYS)
    assert caught.value.hint == "Did you mean http://127.0.0.1:8080?"


@pytest.mark.parametrize(
    "text",
    ["http://me:s3cret@h:80", "http://h/?api_key=s3cret", "http://h?s3cret", "http://h#s3cret", "http://h/@s3cret"],
)
def test_an_address_that_may_hold_a_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="'h' holds a user or password, or a query") as caught:
        server_url(text, keys=KEYS)
    assert ("s3cret" not in str(caught.value), caught.value.hint) == (True, KEYS)


@pytest.mark.parametrize("text", ["http://me:s3/cret@h:80", "http://me:s3#cret@h", "me:s3cret@h:80"])
def test_a_password_is_not_repeated_where_it_breaks_the_address(text: str) -> None:
    with pytest.raises(ConfigError, match="the address given is no server's address") as caught:
        server_url(text, keys=KEYS)
    assert "s3" not in f"{caught.value}{caught.value.hint}"

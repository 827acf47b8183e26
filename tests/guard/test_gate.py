"""Who may pass: rebinding, pages of other origins, tokens, and requests that two readers would read differently."""

from __future__ import annotations

import asyncio
import base64

import pytest

from guard.wires import OK, get, guarding, post, saying, scripted, talk
from kvassay.errors import ConfigError
from kvassay.guard.gate import TOKEN_HEADER, Gate, hostname, is_loopback
from kvassay.guard.heads import target_fault
from kvassay.guard.options import Address, Options, address, host_name, origin

TOKEN = "a-token-of-thirty-two-characters"  # noqa: S105  a test's
BASIC = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8484", "localhost", "LOCALHOST:8484", "[::1]:8484", "127.5.5.5", "x.localhost"]
)
def test_loopback_names_pass(host: str) -> None:
    assert Gate().admit({"Host": host}, own=True).status == 0


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.5:8484", "a@localhost",
     "[::1",  "localhost:8484:1", "localhost/", "evil.example#localhost", "127.0.0.1\\evil.example"],
)  # fmt: skip
def test_any_other_host_is_refused_because_of_dns_rebinding(host: str) -> None:
    assert Gate().admit({"Host": host}, own=False).status == 421


def test_a_host_can_be_allowed() -> None:
    assert Gate(hosts=frozenset({"llm.lan"})).admit({"Host": "llm.lan:8484"}, own=False).status == 0


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8484"},
        {"Origin": "chrome-extension://abc"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8484", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_web_pages_of_other_origins_may_use_neither_the_model_nor_the_page(
    headers: dict[str, str], *, own: bool
) -> None:
    assert Gate().admit({"Host": "127.0.0.1:8484", **headers}, own=own).status == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1:8484", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_agents_and_the_servers_own_pages_may(headers: dict[str, str]) -> None:
    assert Gate().admit({"Host": "127.0.0.1:8484", **headers}, own=False).status == 0


def test_an_origin_can_be_allowed() -> None:
    gate = Gate(origins=frozenset({"http://localhost:3000"}))
    headers = {"Host": "127.0.0.1:8484", "Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}
    assert gate.admit(headers, own=False).status == 0


@pytest.mark.parametrize(
    "headers",
    [{TOKEN_HEADER: TOKEN}, {"Authorization": f"Bearer {TOKEN}"}, {"X-Api-Key": TOKEN}],
)
def test_the_token_opens_and_goes_no_further(headers: dict[str, str]) -> None:
    passage = Gate(token=TOKEN).admit({"Host": "llm.lan", **headers}, own=False)
    assert passage.status == 0
    assert {name.lower().encode() for name in headers} <= passage.spent


def test_a_token_given_twice_goes_no_further_either() -> None:
    headers = {"Host": "llm.lan", "Authorization": f"Bearer {TOKEN}", "X-Api-Key": TOKEN}
    assert Gate(token=TOKEN).admit(headers, own=False).spent >= {b"authorization", b"x-api-key"}


def test_a_key_for_the_upstream_goes_on_beside_the_token() -> None:
    headers = {"Host": "llm.lan", TOKEN_HEADER: TOKEN, "Authorization": "Bearer sk-upstream"}
    assert b"authorization" not in Gate(token=TOKEN).admit(headers, own=False).spent


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": BASIC}, {TOKEN_HEADER: ""}]
)
def test_without_the_token_nothing_opens(headers: dict[str, str]) -> None:
    assert Gate(token=TOKEN).admit({"Host": "llm.lan", **headers}, own=False).status == 401


def test_a_browsers_password_prompt_opens_the_page_only() -> None:
    assert Gate(token=TOKEN).admit({"Host": "llm.lan", "Authorization": BASIC}, own=True).status == 0


def test_the_token_is_not_shown_in_a_repr() -> None:
    assert TOKEN not in repr(Gate(token=TOKEN))
    assert TOKEN not in repr(Options("http://127.0.0.1:1", token=TOKEN))


@pytest.mark.parametrize(
    "target",
    ["/v1/../x", "/..", "/v1/%2e%2e/x", "/v1/%2E./x", "/a/./b", "/a/..;x/b", "/a\\..\\b", "/a/%2e%2e%2fb", "/%00", "*",
     "",  "http://evil.example/", "evil.example:80", "/a b", "/a#b", "/a\x7f"],
)  # fmt: skip
def test_targets_of_two_meanings_are_refused(target: str) -> None:
    assert target_fault(target)


@pytest.mark.parametrize("target", ["/", "/v1/models/a%2Fb", "/v1/x?y=../..", "/a..b", "/...", "//x", "/x?u=http://y/"])
def test_plain_targets_pass(target: str) -> None:
    assert not target_fault(target)


@pytest.mark.parametrize(
    "sent",
    [
        post("/x", b"abc", "Transfer-Encoding: chunked"),
        post("/x", b"abc", "Content-Length: 4"),
        get("/x", "Content-Length: +3", method="POST") + b"abc",
        get("/x", "Content-Length: 3, 3", method="POST") + b"abc",
        get("/x", "Transfer-Encoding: chunked, identity", method="POST") + b"0\r\n\r\n",
        get("/x", "Transfer-Encoding : chunked", method="POST") + b"0\r\n\r\n",
        get("/x", "Transfer-Encoding: gzip, chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n",
        get("/x", "Transfer-Encoding: chunked", method="POST").replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
        get("/x", "Origin: http://127.0.0.1", "Origin: http://evil.example"),
        get("/x", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
        get("/x", "X-A: 1\r\n folded"),
        get("/x", "X-A: 1\nX-B: 2"),
        get("/x", "X-A: a\rb"),
        get("/x", "X-A: a\x00b"),
        get("/x", "X A: 1"),
        get("/x").replace(b"Host", b"Host: 127.0.0.1\r\nHost"),
        get("/x", "X: " + "a" * 100_000),
        get("/" + "a" * 100_000),
        get("http://evil.example/x"),
        get("/a/../b"),
        get("/a/%252e%252e/b"),
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
    ],
)
def test_smuggled_requests_reach_no_upstream(sent: bytes) -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, sent)
            assert got[:10] in (b"HTTP/1.1 4", b"HTTP/1.0 4")
            assert upstream.heard == []

    asyncio.run(scenario())


def test_a_refused_request_is_answered_without_reading_on() -> None:
    """What follows a refused request on its connection is never taken for a request."""

    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            await talk(guard.port, post("/x", b"abc", "Origin: http://evil.example", close=False) + get("/hidden"))
            assert upstream.heard == []

    asyncio.run(scenario())


def test_a_header_named_in_connection_stays_behind() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            await talk(guard.port, get("/x", "Connection: close, X-Hop", "X-Hop: 1", "Upgrade: h2c", "TE: trailers"))
            assert all(word not in upstream.heard[0].head for word in (b"X-Hop", b"h2c", b"trailers"))

    asyncio.run(scenario())


# --------------------------------------------------------------------------- options


def test_addresses_are_read() -> None:
    assert address("8484") == Address("127.0.0.1", 8484)
    assert address("[::1]:80") == Address("::1", 80)
    assert str(address("[::1]:80")) == "[::1]:80"
    assert origin("http://LOCALHOST:3000/") == "http://localhost:3000"


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "127.0.0.1:99999", ":-1", "a b:80", "127.0.0.1:８４"])
def test_a_wrong_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        address(text)


@pytest.mark.parametrize("text", ["here", "http://x/path", "http://[::1"])
def test_a_wrong_origin_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is no web origin"):
        origin(text)


def test_an_allowed_host_is_read_as_clients_send_it() -> None:
    assert {host_name(text) for text in ("LLM.lan", "llm.lan.", "llm.lan:8484")} == {"llm.lan"}
    assert host_name("[FD00::1]") == "fd00::1"
    with pytest.raises(ConfigError, match="is no host name"):
        host_name("http://llm.lan")


@pytest.mark.parametrize("upstream", ["http://127.0.0.1:8484", "http://localhost:8484/v1", "http://[::1]:8484"])
def test_a_guard_is_not_its_own_upstream(upstream: str) -> None:
    with pytest.raises(ConfigError, match="own address"):
        Options(upstream)
    with pytest.raises(ConfigError, match="own address"):
        Options("http://127.0.0.1:1", fallback=upstream)
    assert Options("http://10.0.0.1:8484").upstream


def test_other_machines_need_a_token() -> None:
    with pytest.raises(ConfigError, match="--token"):
        Options("http://127.0.0.1:1", listen=Address("0.0.0.0", 8484))  # noqa: S104  that is the point
    with pytest.raises(ConfigError, match="fewer than 16"):
        Options("http://127.0.0.1:1", token="short")  # noqa: S106  a test's
    assert Options("http://127.0.0.1:1", listen=Address("0.0.0.0", 8484), token=TOKEN)  # noqa: S104


def test_hosts_are_split_from_ports() -> None:
    assert hostname("[::1]:80") == "::1"
    assert hostname("") is None
    assert is_loopback("127.9.9.9")
    assert not is_loopback("example.org")

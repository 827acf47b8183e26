"""A running server's endpoints as a source of facts. Only GET requests, only to the address given, bounded answers."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from threading import Thread
from types import MappingProxyType

import httpx

from kvassay.backend.attach import api_key
from kvassay.doctor.command import Command, recognise
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.setup import Fact, Setup
from kvassay.errors import BackendError, ConfigError, KvassayError
from kvassay.types import JsonObject

_MAX_BYTES = 4 << 20
_TIMEOUT_S = 5.0
_ANSWER_S = 15.0
_TOTAL_S = 60.0
_VLLM = re.compile(r"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)
_USER = re.compile(r"//[^/@]*@")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class _Server:
    """One address and how it is asked."""

    client: httpx.Client
    url: str

    @property
    def shown(self) -> str:
        """The address without a user's name and password."""
        return _USER.sub("//", self.url)

    def text(self, path: str) -> str | None:
        """The body of a successful answer; None for any other status, a redirect, or an answer that is too large or
        too slow. Raises BackendError where nobody answers.
        """
        until = time.monotonic() + _ANSWER_S
        body = bytearray()
        try:
            with self.client.stream("GET", self.url + path) as response:
                if response.status_code in {401, 403}:
                    raise BackendError(
                        f"{self.shown} wants an API key", hint="Put it into the environment variable KVASSAY_API_KEY."
                    )
                for chunk in response.iter_bytes() if response.is_success else ():
                    body += chunk
                    if len(body) > _MAX_BYTES or time.monotonic() > until:
                        return None
                return body.decode("utf-8", errors="replace") if response.is_success else None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the last for a host such as a..b
            raise BackendError(
                f"{self.shown} did not answer ({error})", hint="Is the server running, and is this its address?"
            ) from error

    def json(self, path: str) -> JsonObject:
        """The object of an answer; empty where there is none."""
        text = self.text(path)
        try:
            found = json.loads(text) if text else None
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def setups_of_url(url: str, *, total_s: float = _TOTAL_S) -> tuple[Setup, ...]:
    """The set-ups behind an address: one, or a router's models. ``total_s`` bounds the whole, however slowly a server
    answers.

    Raises ConfigError for what is no address, BackendError where nobody answers, or answers like no back end known.
    """
    if not re.match(r"https?://[^/\s]+", url):
        raise ConfigError(f"{_USER.sub('//', url)!r} is no address", hint="Write it like http://127.0.0.1:8080.")
    address = re.sub(r"(/v1)?/*$", "", url)
    outcome: list[tuple[Setup, ...] | KvassayError] = []
    # A header that drips byte by byte keeps every single read within its time-out: only leaving it alone ends that.
    asking = Thread(target=lambda: outcome.append(_outcome(address)), daemon=True)
    asking.start()
    asking.join(total_s)
    if not outcome:
        shown = _USER.sub("//", address)
        raise BackendError(f"{shown} did not finish its answers within {total_s:g} s", hint="Is it a back end at all?")
    if isinstance(outcome[0], KvassayError):
        raise outcome[0]
    return outcome[0]


def _outcome(address: str) -> tuple[Setup, ...] | KvassayError:
    try:
        key = api_key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False, headers=headers) as client:
            server = _Server(client, address)
            for ask in (_llama, _ollama, _tabby, _sglang, _vllm):
                if found := ask(server):
                    return found
    except KvassayError as error:
        return error
    return BackendError(
        f"{server.shown} answers like no back end that kvassay knows",
        hint="It knows llama-server, Ollama, TabbyAPI, SGLang and vLLM by their endpoints.",
    )


def _llama(server: _Server) -> tuple[Setup, ...]:
    props = server.json("/props")
    settings = props.get("default_generation_settings")
    if not isinstance(settings, dict) and "build_info" not in props:
        return ()
    routed = _routed(server, props)
    if routed:
        return routed
    facts = _facts(
        "GET /props",
        build=props.get("build_info"),
        context=settings.get("n_ctx") if isinstance(settings, dict) else None,
        parallel=props.get("total_slots"),
        model=props.get("model_path"),
    )
    return (_setup(server, "llama.cpp", facts),)


def _routed(server: _Server, props: JsonObject) -> tuple[Setup, ...]:
    """A router tells the flags of its models: status.args of /v1/models (server-models.cpp:2095-2106)."""
    data = server.json("/v1/models").get("data")
    found = []
    for entry in data if isinstance(data, list) else ():
        status = entry.get("status") if isinstance(entry, dict) else None
        args = status.get("args") if isinstance(status, dict) else None
        if isinstance(entry, dict) and isinstance(args, list) and args:
            words = [str(word) for word in args]
            bare = words if not words[0].startswith("-") else ["llama-server", *words]
            command = recognise(bare) or Command("llama.cpp", {}, ("llama-server", *words))
            setup = setup_of(command, label=str(entry.get("id")), via="GET /v1/models, argument", has_env=False)
            extra = _facts("GET /props", build=props.get("build_info")) | _facts("the address", url=server.shown)
            found.append(replace(setup, facts=MappingProxyType(dict(setup.facts) | extra)))
    return tuple(found)


def _ollama(server: _Server) -> tuple[Setup, ...]:
    version = server.json("/api/version").get("version")
    if not isinstance(version, str):
        return ()
    facts = _facts("GET /api/version", version=version)
    models = server.json("/api/ps").get("models")
    loaded = [one for one in models if isinstance(one, dict)] if isinstance(models, list) else []
    if loaded:
        facts |= _facts("GET /api/ps", model=loaded[0].get("name"), context=loaded[0].get("context_length"),
                        vram_bytes=loaded[0].get("size_vram"))  # fmt: skip
    return (_setup(server, "ollama", facts),)


def _tabby(server: _Server) -> tuple[Setup, ...]:
    card = server.json("/v1/model")
    parameters = card.get("parameters")
    if not isinstance(parameters, dict):
        return ()
    names = ("cache_mode", "cache_size", "max_seq_len")
    facts = _facts("GET /v1/model", model=card.get("id"), **{name: parameters.get(name) for name in names})
    return (replace(_setup(server, "exllamav3", facts), style="yaml"),)


def _sglang(server: _Server) -> tuple[Setup, ...]:
    info = server.json("/server_info")
    if "kv_cache_dtype" not in info:
        return ()
    facts = _facts("GET /server_info", kv_dtype=info["kv_cache_dtype"], model=info.get("model_path"),
                   device=info.get("device"))  # fmt: skip
    return (_setup(server, "sglang", facts),)


def _vllm(server: _Server) -> tuple[Setup, ...]:
    found = _VLLM.search(server.text("/metrics") or "")
    if not found:
        return ()
    labels = dict(_LABEL.findall(found[1]))
    scales = {"True": "on"}.get(labels.get("calculate_kv_scales", ""))
    facts = _facts("GET /metrics", kv_dtype=labels.get("cache_dtype"), calculate_kv_scales=scales)
    return (_setup(server, "vllm", facts),)


def _facts(how: str, **values: object) -> dict[str, Fact]:
    plain = {name: value for name, value in values.items() if isinstance(value, str | int) and value != ""}
    return {name: Fact(str(value), how) for name, value in plain.items()}


def _setup(server: _Server, engine: str, facts: dict[str, Fact]) -> Setup:
    return Setup(server.shown, engine, MappingProxyType(_facts("the address", url=server.shown) | facts))

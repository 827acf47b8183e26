"""Files that start or configure a back end: which kind one is, by content, and the set-ups in it. Pure but for the
reading itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kvassay.doctor.command import CONTINUED, Command, in_image, recognise, split
from kvassay.doctor.documents import MAX_CHARS, Document, json_document, yaml_document
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.read_config import koboldcpp, llama_cpp_python, lm_studio, tabby, vllm
from kvassay.doctor.read_log import MARKS, setup_of_log
from kvassay.doctor.setup import Setup
from kvassay.errors import ConfigError

_MAX_BYTES = 64 << 20
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
_ARRAY = re.compile(
    r"^[ \t]*(?:(?:local|declare -a|readonly)[ \t]+)?([A-Za-z_]\w*)(\+?)=\(([^()]*)\)[ \t]*$", re.MULTILINE
)
"""Arguments that a bash script collects before its command."""
_ENV_LINE = re.compile(r"(?:export +)?([A-Za-z_]\w*)=(.*)")
_WINDOWS_ENV_LINE = re.compile(r"@?set +(\"?)([A-Za-z_]\w*)=([^&\"]*)\1|\$env:(\w+) *= *([^;]*?) *;?", re.IGNORECASE)
_LASTING_LINE = re.compile(
    r"(setx|launchctl)(?:\.exe)?(?: +setenv)?(?: +/M)? +(\"?)([A-Za-z_]\w*)\2 +(\"?)([^\"]*?)\4(?: +/M)?",
    re.IGNORECASE,
)
_POWERSHELL_QUOTES = "\"'“”„‘’‚"
"""Quotes to PowerShell, all of them (its language specification, 2.3.5.2)."""
_NO_STATEMENT = re.compile(r"#.*|@?echo off|@?rem\b.*|::.*|", re.IGNORECASE)
_ENV_ENGINES = (("OLLAMA_", "ollama"), ("LLAMA_ARG_", "llama.cpp"), ("LLAMA_ATTN_", "llama.cpp"), ("VLLM_", "vllm"))
_DATA = (".yaml", ".yml", ".json", ".kcpps")  # broken, they are still no scripts
_NAMED_VARIABLE = re.compile(r"\$(\w+)|%(\w+)%")
_KINDS = (
    "a log of llama.cpp, Ollama, vLLM or SGLang, a docker compose file, a systemd unit, a podman quadlet, a script, "
    "variables, or a configuration of TabbyAPI, llama-swap, LM Studio, koboldcpp, llama-cpp-python or vLLM"
)


class Source(NamedTuple):
    """What a file turned out to be, and the set-ups in it."""

    kind: str
    setups: tuple[Setup, ...]


def read_file(path: Path) -> Source:
    """The set-ups of a file. Raises ConfigError where it can't be read, is of no known kind, or names no back end."""
    text = read_text(path)
    for kind, reader in _READERS.items():
        setups = reader(text, path.name)
        if setups is not None:
            if not setups:
                raise ConfigError(f"{str(path)!r} is {kind}, but no back end that kvassay knows is in it")
            return Source(kind, tuple(setups))
    broken = " Is its syntax whole?" if path.name.lower().endswith(_DATA) else ""
    raise ConfigError(f"{str(path)!r} is of no kind that kvassay knows.{broken}", hint=f"It reads {_KINDS}.")


def read_text(path: Path) -> str:
    """A file's text; bytes that are not UTF-8 become replacement characters. Raises ConfigError where it can't be
    read, is too large, or is no text.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(
                f"{str(path)!r} is larger than {_MAX_BYTES >> 20} MiB", hint="Give the part that matters."
            )
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{str(path)!r} can't be read ({error.strerror})") from error
    if b"\0" in data[:4096]:
        raise ConfigError(f"{str(path)!r} is no text file", hint=f"kvassay doctor reads {_KINDS}.")
    return data.decode("utf-8", errors="replace")


def _compose(text: str, _name: str) -> list[Setup] | None:
    document = yaml_document(text)
    services = document.get("services") if document else None
    if not isinstance(services, dict):
        return None
    found = [_service(str(name), body) for name, body in services.items() if isinstance(body, dict)]
    return [setup for setup in found if setup]


def _service(name: str, body: Document) -> Setup | None:
    """A service's set-up. A fix changes ``command`` where the entry point is the bare program, else the whole."""
    image = _filled(str(body.get("image") or ""), {})
    env = _environment(body.get("environment"))
    entrypoint = _words(body.get("entrypoint"), env)
    command = in_image(image, entrypoint, _words(body.get("command"), env), env)
    if command is None:
        return None
    bare = entrypoint == [command.words[0]] and not command.before
    setup = setup_of(
        replace(command, implied=command.implied or bare),
        label=name,
        has_env="env_file" not in body,
        style="compose",
    )
    listed = isinstance(body.get("environment"), list)
    return replace(setup, entrypoint=bool(entrypoint) and not setup.implied, env_list=listed)


def _words(value: object, env: Mapping[str, str]) -> list[str]:
    if isinstance(value, list):
        return [_filled(str(word), env) for word in value]
    return split(_filled(value, env)) if isinstance(value, str) else []


def _environment(value: object) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(name): _filled(_plain(content), {}) for name, content in value.items() if content is not None}
    listed = [str(one).partition("=") for one in value] if isinstance(value, list) else []
    return {name: _filled(content, {}) for name, stated, content in listed if stated}


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Variables that have a value or a default are filled in; others stay as they are written."""
    return _VARIABLE.sub(lambda m: known.get(m[1], m[2] if m[2] is not None else m[0]), text)


def _llama_swap(text: str, _name: str) -> list[Setup] | None:
    document = yaml_document(text)
    models = document.get("models") if document else None
    if not isinstance(models, dict) or not any(isinstance(m, dict) and "cmd" in m for m in models.values()):
        return None
    macros = document.get("macros") if document else None
    known = {str(k): str(v) for k, v in macros.items()} if isinstance(macros, dict) else {}
    found = []
    for name, body in models.items():
        if isinstance(body, dict) and isinstance(body.get("cmd"), str):
            env = _environment(body.get("env"))
            words = split(_filled(_filled(str(body["cmd"]), known), known))
            found.append((str(name), recognise(words, env)))
    return [setup_of(command, label=name, style="llama-swap") for name, command in found if command]


def _systemd(text: str, name: str) -> list[Setup] | None:
    if not re.search(r"^\[Service\]\s*$", text, re.MULTILINE):
        return None
    settings, env = _unit(text, "Service")
    starts = [value.lstrip("-@:+!") for key, value in settings if key == "ExecStart"]
    command = recognise(split(starts[-1]), env) if starts and starts[-1] else None
    if command is not None:
        return [setup_of(command, label=name, has_env=not _beside(settings), style="systemd")]
    return [] if starts and starts[-1] else _of_variables(env, name, style="systemd")


def _quadlet(text: str, name: str) -> list[Setup] | None:
    """Podman's ``.container`` file (podman-systemd.unit(5)); its ``Exec=`` is what follows the image."""
    if not re.search(r"^\[Container\]\s*$", text, re.MULTILINE):
        return None
    settings, env = _unit(text, "Container")
    last = dict(settings)
    entrypoint = split(last.get("Entrypoint", ""))
    command = in_image(last.get("Image", ""), entrypoint, split(last.get("Exec", "")), env)
    if command is None:
        return [] if "Image" in last else _of_variables(env, name, style="quadlet")
    implied = command.implied or entrypoint == [command.words[0]]
    return [setup_of(replace(command, implied=implied), label=name, has_env=not _beside(settings), style="quadlet")]


def _unit(text: str, section: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The settings of one section of a unit, and the variables among them."""
    # A comment within a line that goes on is left out of it (systemd.syntax).
    stated = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    settings: list[tuple[str, str]] = []
    inside = False
    for line in stated.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            inside = line.strip() == f"[{section}]"
        elif inside:
            key, _, value = line.partition("=")
            settings.append((key.strip(), value.strip()))
    env: dict[str, str] = {}
    for _, value in (one for one in settings if one[0] == "Environment"):  # an empty one takes back those before it
        env = env | dict(map(_assigned, split(value))) if value else {}
    return settings, env


def _beside(settings: Sequence[tuple[str, str]]) -> bool:
    """Whether variables come from a file that is not seen."""
    return any(key == "EnvironmentFile" for key, _ in settings)


def _assigned(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _script(text: str, name: str) -> list[Setup] | None:
    if len(text) > MAX_CHARS or name.lower().endswith(_DATA):
        return None
    env: dict[str, str] = {}
    own: dict[str, str] = {}
    found: list[Command] = []
    for line in _ARRAY.sub(_on_one_line, CONTINUED.sub(" ", text)).splitlines():
        if array := _ARRAY.fullmatch(line):
            own[array[1]] = f"{own.get(array[1], '') if array[2] else ''} {array[3]}"
            continue
        if stated := _WINDOWS_ENV_LINE.fullmatch(line.strip()):
            _, set_name, set_value, ps_name, ps_value = stated.groups()
            env |= {set_name: set_value} if set_name else {ps_name: ps_value.strip(_POWERSHELL_QUOTES)}
            own |= env
            continue
        try:
            words = split(line)
        except ConfigError:
            continue
        stated = _ENV_LINE.fullmatch(line.strip())
        if stated and len(words) <= 2:  # noqa: PLR2004 - export NAME=value
            own |= [_assigned(words[-1])]
            env |= [_assigned(words[-1])] if words[0] == "export" else []
        elif command := recognise([part for word in words for part in _expanded(word, own)], env):
            found.append(command)
    return [setup_of(command, label=name) for command in found] or None


def _on_one_line(array: re.Match[str]) -> str:
    try:
        return f"{array[1]}{array[2]}=({shlex.join(split(array[3]))})"
    except ConfigError:
        return array[0]


def _expanded(word: str, known: Mapping[str, str]) -> list[str]:
    """A word with the script's own variables filled in; one that is nothing but a variable may be several words."""
    alone = re.fullmatch(r"\$\{?(\w+)(?:\[[@*]\])?\}?", word)
    if alone and alone[1] in known:
        rest = {name: value for name, value in known.items() if name != alone[1]}
        return [part for one in split(known[alone[1]]) for part in _expanded(one, rest)]
    return [_NAMED_VARIABLE.sub(lambda m: known.get(m[1] or m[2], m[0]), _filled(word, known))]


def _variables(text: str, name: str) -> list[Setup] | None:
    return read_variables(text, name) if len(text) <= MAX_CHARS else None


def read_variables(text: str, label: str) -> list[Setup] | None:
    """Variables alone, as a file, a shell or Windows sets them; None where anything else stands there, or none of them
    is a back end's.
    """
    lines = [line.strip() for line in text.splitlines()]
    stated = [_variable_of(line) for line in lines if not _NO_STATEMENT.fullmatch(line)]
    env = {one.name: one.value for one in stated if one}
    if not stated or not all(stated) or not any(key.startswith(prefix) for key in env for prefix, _ in _ENV_ENGINES):
        return None
    return _of_variables(env, label, style=next(one.style for one in stated if one))


class _Stated(NamedTuple):
    """A variable that a line sets, and what it is set by: a style of Setup."""

    name: str
    value: str
    style: str


def _variable_of(line: str) -> _Stated | None:
    if plain := _ENV_LINE.fullmatch(line):
        return _Stated(plain[1], _bare(plain[2]), "env")
    if lasting := _LASTING_LINE.fullmatch(line):
        return _Stated(lasting[3], lasting[5], lasting[1].lower())
    if windows := _WINDOWS_ENV_LINE.fullmatch(line):
        _, set_name, set_value, ps_name, ps_value = windows.groups()
        bare = (ps_value or "").strip(_POWERSHELL_QUOTES)
        return _Stated(set_name, set_value, "set") if set_name else _Stated(ps_name, bare, "$env")
    return None


def _bare(value: str) -> str:
    """A variable's value without its quotes and without a comment behind it."""
    quoted = re.fullmatch(r"\s*([\"'])(.*?)\1\s*(?:#.*)?", value)
    return quoted[2] if quoted else re.sub(r"(?:^|\s+)#.*", "", value).strip()


def _of_variables(env: Mapping[str, str], name: str, *, style: str = "env") -> list[Setup]:
    """Variables alone: only what they say is known, and no default, because the command was not seen."""
    engine = next((engine for prefix, engine in _ENV_ENGINES if any(key.startswith(prefix) for key in env)), None)
    if engine is None:
        return []
    setup = setup_of(Command(engine, MappingProxyType(dict(env)), ()), label=name)
    facts = {key: fact for key, fact in setup.facts.items() if fact.stated}
    return [replace(setup, facts=MappingProxyType(facts), style=style)]


def _log(text: str, name: str) -> list[Setup] | None:
    return [setup_of_log(text, label=name)] if MARKS.search(text) else None


def _json(text: str, name: str) -> list[Setup] | None:
    document = json_document(text)
    if document is None:
        return None
    return next((found for read in (koboldcpp, llama_cpp_python, lm_studio) if (found := read(document, name))), None)


def _yaml_config(text: str, name: str) -> list[Setup] | None:
    document = yaml_document(text)
    if document is None:
        return None
    return next((found for read in (tabby, vllm) if (found := read(document, name))), None)


Reader = Callable[[str, str], Sequence[Setup] | None]

_READERS: dict[str, Reader] = {
    "a configuration (JSON)": _json,
    "a log": _log,
    "a podman quadlet": _quadlet,
    "a systemd unit": _systemd,
    "variables": _variables,
    "a docker compose file": _compose,
    "a llama-swap configuration": _llama_swap,
    "a configuration (YAML)": _yaml_config,
    "a shell script": _script,
}

"""From a recognised command to a Setup: flags, variables and defaults become facts. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple

from kvassay.doctor.command import Command
from kvassay.doctor.flags import FLAGS, Flag
from kvassay.doctor.setup import SECRET, Fact, Overridden, Setup
from kvassay.doctor.typography import straight

_SECRET_FLAG = re.compile(r"-.*(?:api[-_]?key|token|password|secret)$", re.IGNORECASE)
_ASSIGNED_SECRET = re.compile(
    r"((?:-e|-[\w-]*=|\$env:|\w+=[\"']?)?(?:(?:\w*_)?(?:KEY|TOKEN|PASSWORD|SECRET)"
    r"|-[^=]*(?:api[-_]?key|token|password|secret))=).",
    re.IGNORECASE | re.DOTALL,
)
"""A variable or a flag with its value, and within another flag or a unit's setting: ``--env=HF_TOKEN=…``."""
_CREDENTIALS = re.compile(r"(\bBearer\s+|://[^/@:\s]*:(?=[^/@\s]+@))[^\s@]+", re.IGNORECASE)
_UNRESOLVED = re.compile(r"\$(?:\w+|\{[^}]*\}|[@*])")
_TRUE = frozenset({"on", "enabled", "true", "1"})
"""common/arg.cpp:1337 of llama.cpp b11434: a switch's variable of any other value changes nothing, or is refused."""
_ADDED_UP = frozenset({"spec_type", "override_tensor", "alias", "api_key"})
"""Settings that llama-server collects, whatever its warning says of the last value."""
_GO_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""strconv.ParseBool, by which Ollama reads; what it doesn't know counts as true (envconfig.BoolWithDefault)."""
_FLASH = {"1": "on", "true": "on", "enabled": "on", "0": "off", "false": "off", "disabled": "off", "-1": "auto"}
_DEVICE_NAMES = (
    ("cuda", "cuda"), ("rocm", "hip"), ("hip", "hip"), ("musa", "musa"), ("mtl", "metal"), ("metal", "metal"),
    ("vulkan", "vulkan"), ("sycl", "sycl"), ("opencl", "opencl"), ("gpuopencl", "opencl"), ("webgpu", "webgpu"),
    ("cann", "cann"),
)  # fmt: skip


class _Passed(NamedTuple):
    """One setting as it stands in the arguments: where its value is, and the flag as written."""

    flag: Flag
    name: str
    value: str
    at: int
    joined: bool


def setup_of(
    command: Command, *, label: str, via: str = "argument", has_env: bool = True, style: str = "command"
) -> Setup:
    """The facts of a command. ``via`` names where its words were read; without ``has_env`` nothing is known about
    variables, and defaults that a variable could replace are marked so.
    """
    table = FLAGS[command.engine]
    passed = list(_passed(command, table))
    last = {one.flag.fact: one for one in passed}
    facts: dict[str, Fact] = {}
    for flag in table:
        if fact := _fact(flag, last.get(flag.fact), command, via=via, has_env=has_env):
            facts[flag.fact] = fact
    if "cache_pair" in facts and not facts["cache_mode"].stated:
        del facts["cache_mode"]  # ExLlamaV3's own script, not TabbyAPI
    facts |= _of_image(command)
    facts |= _subcommand(command)
    names = [one.flag.fact for one in passed if one.flag.fact not in _ADDED_UP]
    return Setup(
        label=label,
        engine=command.engine,
        facts=MappingProxyType(facts),
        words=_redacted(command.words, passed),
        style=style,
        before=_redacted(command.before, []),
        implied=command.implied,
        after=_redacted(command.after, []),
        shell=_redacted(command.shell, []),
        passed=MappingProxyType({name: one.at for name, one in last.items()}),
        overridden=tuple(_overridden(command, last)),
        repeated=tuple(dict.fromkeys(last[name].name for name in names if names.count(name) > 1)),
        joined=tuple(one.name for one in passed if one.joined and not one.flag.secret),
        unresolved=tuple(word for word in command.words if _UNRESOLVED.fullmatch(word)),
        typographic=tuple(_as_found(command, passed)),
    )


def _overridden(command: Command, last: Mapping[str, _Passed]) -> Iterator[Overridden]:
    for one in last.values():
        env = one.flag.env
        if env is not None and env in command.env and not one.flag.secret and one.flag.fact not in _ADDED_UP:
            yield Overridden(env, command.env[env], one.name, one.value)


def _passed(command: Command, table: tuple[Flag, ...]) -> Iterator[_Passed]:
    flags = {name: (flag, "on") for flag in table for name in flag.names}
    flags |= {name: (flag, "off") for flag in table for name in flag.off}
    words, at = command.words, 1
    while at < len(words):
        name, joined, value = words[at].partition("=")
        spelled = _normal(name, command.engine)
        if spelled not in flags:
            at += 1
            continue
        flag, meaning = flags[spelled]
        follows = words[at + 1] if at + 1 < len(words) else None
        if joined:
            yield _Passed(flag, name, value, at, joined=True)
        elif not flag.takes_value or meaning == "off":
            yield _Passed(flag, name, meaning, at, joined=False)
        elif follows is None or _looks_like_flag(follows, flags, command.engine):
            # -fa without a value was the form of older builds.
            if flag.fact in {"flash_attention", "flash_attn"}:
                yield _Passed(flag, name, "on", at, joined=False)
        elif flag.fact == "flash_attention" and re.match(r"-[A-Za-z]", follows):
            yield _Passed(flag, name, "on", at, joined=False)
        else:
            at += 1
            yield _Passed(flag, name, follows, at, joined=False)
        at += 1


def _normal(name: str, engine: str) -> str:
    """llama-server reads underscores of long flags as hyphens (common/arg.cpp:815 at b11434); vLLM does likewise."""
    if name.startswith("--") and engine in {"llama.cpp", "ik_llama.cpp", "vllm"}:
        return name.replace("_", "-")
    return name


def _looks_like_flag(word: str, flags: Mapping[str, object], engine: str) -> bool:
    return _normal(word.partition("=")[0], engine) in flags or (word.startswith("--") and len(word) > 2)  # noqa: PLR2004


def _fact(flag: Flag, given: _Passed | None, command: Command, *, via: str, has_env: bool) -> Fact | None:
    env = command.env
    if given is not None:
        bare = given.flag.secret or not flag.takes_value or command.words[given.at] == given.name
        shown = given.name if bare else f"{given.name} {given.value}"
        return Fact(_clean(flag, given.value), f"{via}: {shown}")
    if flag.env and flag.env in env:
        value = _of_variable(flag, flag.env, env[flag.env])
        if value or not flag.env.startswith("OLLAMA_"):  # empty is unset there
            return Fact(_clean(flag, value), f"environment: {flag.env}")
    if flag.default is None:
        return None
    unless = f", unless {flag.env} is set" if flag.env and not has_env else ""
    hidden = (
        ", unless a variable of the command says otherwise" if any(map(_UNRESOLVED.fullmatch, command.words)) else ""
    )
    if any(word.partition("=")[0] == "--config" for word in command.words):  # koboldcpp, vLLM, TabbyAPI
        hidden = ", unless the file of --config says otherwise"
    return Fact(flag.default, f"default{hidden or unless}", stated=False)


def _of_variable(flag: Flag, env: str, value: str) -> str:
    """A variable's value as the program reads it."""
    if flag.fact == "rotation_off":  # by atoi (llama.cpp b11434 src/llama-kv-cache.cpp:316)
        return "on" if re.match(r"\s*[+-]?0*[1-9]", value) else "off"
    if env.startswith("OLLAMA_"):
        value = value.strip().strip("\"'")
    if env == "OLLAMA_FLASH_ATTENTION" and value:
        return "off" if value in _GO_FALSE else "on"
    if not flag.takes_value:
        return "on" if value in _TRUE else "off"
    return value


def _clean(flag: Flag, value: str) -> str:
    if flag.secret:
        return SECRET
    if flag.fact == "flash_attention":
        return _FLASH.get(value.lower(), value.lower())
    return value


def _redacted(words: tuple[str, ...], passed: list[_Passed]) -> tuple[str, ...]:
    """Secrets replaced: those of known flags, and whatever follows a flag that sounds like one."""
    hidden = {one.at for one in passed if one.flag.secret}
    hidden |= {at for one in hidden for at in _more_of(words, one)}
    shown = []
    for at, word in enumerate(words):
        if bare := _ASSIGNED_SECRET.match(word):
            shown.append(f"{bare[1]}{SECRET}")
        elif at in hidden or (at and _SECRET_FLAG.match(words[at - 1])):
            shown.append(SECRET)
        else:
            shown.append(_CREDENTIALS.sub(rf"\1{SECRET}", word))
    return tuple(shown)


def _more_of(words: tuple[str, ...], at: int) -> Iterator[int]:
    """Behind one ``--api-key`` vLLM takes several keys."""
    if any("vllm" in word for word in words[:4]):
        yield from takewhile(lambda n: not words[n].startswith("-"), range(at + 1, len(words)))


def without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """Words of an unknown program, to be shown."""
    return _redacted(straight(words).words, [])


def _as_found(command: Command, passed: list[_Passed]) -> Iterator[str]:
    """The words that had typographic marks; one that is a secret, or holds one, as what is shown of it."""
    words = (*command.before, *command.after, *command.shell)
    shown = dict(zip(words, _redacted(words, []), strict=True))
    shown |= zip(command.words, _redacted(command.words, passed), strict=True)
    for word in command.typographic:
        plain = straight([word]).words
        bare = tuple(shown.get(one, SECRET) for one in plain)  # one that stands nowhere any more might be anything
        yield word if bare == plain else " ".join(bare)


def _of_image(command: Command) -> dict[str, Fact]:
    how = f"image {command.image}"
    found = {"device": command.device, "build": command.build}
    facts = {name: Fact(value, how) for name, value in found.items() if value}
    listed = dict.fromkeys(name for word in command.words for name in _device_of(word, command.words))
    if len(listed) == 1:
        facts["device"] = Fact(next(iter(listed)), "the device that the command names")
    return facts


def _device_of(word: str, words: tuple[str, ...]) -> Iterator[str]:
    at = words.index(word)
    if at and words[at - 1] in {"-dev", "--device"}:
        for part in word.lower().split(","):
            yield from (device for prefix, device in _DEVICE_NAMES if part.startswith(prefix))


def _subcommand(command: Command) -> dict[str, Fact]:
    """What Ollama is told to do, and vLLM's model, which is no flag."""
    plain: Callable[[str], bool] = lambda word: not word.startswith("-")  # noqa: E731 - one use, one line
    rest = [word for word in command.words[1:] if plain(word)]
    if command.engine == "ollama" and rest:
        return {"subcommand": Fact(rest[0], f"argument: {rest[0]}")}
    if command.engine == "vllm" and rest[:1] == ["serve"] and len(command.words) > 2 and plain(command.words[2]):  # noqa: PLR2004
        return {"model": Fact(command.words[2], f"argument: {command.words[2]}")}
    return {}

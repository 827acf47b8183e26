"""A command line as people write it (shell, docker run, wrappers) taken apart: variables, program, words. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath, PureWindowsPath
from types import MappingProxyType
from typing import NamedTuple

from kvassay.doctor.typography import straight
from kvassay.errors import ConfigError

CONTINUED = re.compile(r"[\\^`](?:[ \t]+#[^\n]*|[ \t]*)\r?\n")
"""A line that goes on in the next one: in sh, in cmd, in PowerShell. No shell takes a comment behind the mark, but
people add one where they explain a command.
"""

_WINDOWS = re.compile(r"(?:^|[\s\"'])(?:[A-Za-z]:|\.{1,2})\\|\.(?:exe|bat|cmd|ps1)(?=[\s\"']|$)", re.IGNORECASE)
_ESCAPING = re.compile(r"\\(?!\"(?!\s|$))")  # all but a backslash before a quote that does not end its word
_PROMPT = re.compile(r"\A\s*\$\s+")
_POWERSHELL = re.compile(r"(\$env:\w+)\s*=\s*", re.IGNORECASE)
_POWERSHELL_VARIABLE = re.compile(r"\$env:(\w+)=(.*)", re.IGNORECASE | re.DOTALL)
_PARTED = re.compile(
    r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|;(?=\s|$)|[“„”][^“”„\"]*[“”]|«[^«»\"]*»"
    r"|(?<!\w)‘[^‘’\"]*’(?!\w)|‚[^‚‘\"]*‘",
    re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PROGRAMS = {
    "llama-server": "llama.cpp",
    "llama-cli": "llama.cpp",
    "ollama": "ollama",
    "koboldcpp": "koboldcpp",
    "koboldcpp.py": "koboldcpp",
    "vllm": "vllm",
    "sglang": "sglang",
}
_MODULES = {
    "llama_cpp.server": "llama-cpp-python",
    "sglang.launch_server": "sglang",
    "vllm.entrypoints.openai.api_server": "vllm",
}
_IMAGES = (
    ("ik_llama", "ik_llama.cpp"),
    ("llama-cpp-python", "llama-cpp-python"),
    ("llama.cpp", "llama.cpp"),
    ("llama-cpp", "llama.cpp"),
    ("ollama/ollama", "ollama"),
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("koboldcpp", "koboldcpp"),
    ("tabbyapi", "exllamav3"),
)
_IMAGE_DEVICES = (("cuda", "cuda"), ("rocm", "hip"), ("musa", "musa"), ("vulkan", "vulkan"), ("intel", "sycl"))
_IMAGE_BUILD = re.compile(r":(?:[\w.-]+-)?b(\d{3,6})\b")
_IK_FLAGS = frozenset(
    {"-khad", "-vhad", "-ctk-first", "-ctk-last", "-ctv-first", "-ctv-last", "-ictk"}
    | {"-fmoe", "--fused-moe", "-no-fmoe", "-mla", "--mla-use", "-amb", "-rtr", "--run-time-repack", "-ser", "-muge"}
    | {"-mqkv", "-smgs", "-ger", "-gr"}
)
"""Flags of ik_llama.cpp (common/common.cpp) that llama.cpp's common/arg.cpp of b11434 does not have."""
_TABBY_FLAGS = frozenset({"--cache-mode", "--draft-cache-mode", "--model-name"})
_EXL3_FLAGS = frozenset({"-cq", "--cache_quant"})
_DOCKER_SWITCHES = frozenset(
    {"--rm", "--detach", "--interactive", "--tty", "--init", "--privileged", "--read-only", "--publish-all"}
    | {"--no-healthcheck", "--oom-kill-disable", "--quiet", "--sig-proxy"}
)
_DOCKER_SHORT = re.compile(r"-[ditPq]+$")
_CONTAINERS = frozenset({"docker", "podman"})
_VERBS = frozenset({"run", "exec", "compose"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash"})
_MANAGERS = frozenset({"systemctl", "service", "journalctl", "launchctl", "brew", "docker-compose", "podman-compose"})
"""What stands behind them is a name that others gave, not what they run."""
_SUBCOMMANDS = frozenset({"serve", "server", "cli", "client"})
OPERATOR = re.compile(r"\|\|?|&&?|;|[\d&]*>{1,2}(?:&\d|&?\S*)|\d*<(?:/\S*)?")
"""A word that is the shell's own: a pipe, a redirection, the end of a command."""


@dataclass(frozen=True, slots=True)
class Command:
    """A recognised command: the engine, its variables, the words from the program on, and what an image's name says.

    ``before`` are the words in front of the program (assignments, ``docker run …``); with ``implied`` the program
    itself does not stand in the text, because an image starts it. ``after`` is what follows the command: ``> log &``.
    ``shell`` is what the whole is handed to: ``sh -c``. ``typographic`` are the words as found that had typographic
    dashes, quotes or spaces.
    """

    engine: str
    env: Mapping[str, str]
    words: tuple[str, ...]
    image: str | None = None
    device: str | None = None
    build: str | None = None
    before: tuple[str, ...] = ()
    implied: bool = False
    after: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    typographic: tuple[str, ...] = ()


class _Image(NamedTuple):
    engine: str | None
    device: str | None
    build: str | None


def is_windows(text: str) -> bool:
    """Whether a line is written for Windows: by a path or a program's name in it."""
    return _WINDOWS.search(text) is not None


def split(text: str) -> list[str]:
    """The words of a shell line; line continuations, comments and a prompt in front of it are understood.

    Raises ConfigError where a quote is never closed.
    """
    joined = _POWERSHELL.sub(r"\1=", _PROMPT.sub("", CONTINUED.sub(" ", text)))
    joined = _PARTED.sub(lambda match: _one_word(match[0]), joined)
    if is_windows(joined):  # backslashes are parts of paths there, not escapes
        joined = _ESCAPING.sub(r"\\\\", joined)
    try:
        return shlex.split(joined, comments=True)
    except ValueError as error:
        shown = " ".join(text.split()[:1])
        raise ConfigError(
            f"the command {shown!r} can't be taken apart ({error})", hint="Is a quote missing its other half?"
        ) from error


def _one_word(part: str) -> str:
    """A part of a line for `shlex`: a ``;`` by itself; what stands in typographic quotes as one word with them."""
    if part == ";":
        return " ; "
    return f'"{part}"' if part[0] in "“„”«‘‚" else part


def recognise(words: Sequence[str], env: Mapping[str, str] | None = None) -> Command | None:
    """The back end that ``words`` start, None where there is none. ``env`` holds variables set elsewhere. Typographic
    dashes and quotes are read as what they stand for.
    """
    meant = straight(words)
    found = _recognised(meant.words, env)
    return replace(found, typographic=(*meant.typographic, *found.typographic)) if found else None


def _recognised(words: tuple[str, ...], env: Mapping[str, str] | None) -> Command | None:
    variables = dict(env or {})
    managed = 0  # up to this word nothing is run by the line itself
    for at, word in enumerate(words):
        if at < managed:
            continue
        if _ASSIGNMENT.match(word) and not word.startswith("-"):
            name, _, value = word.partition("=")
            variables[name] = value
            continue
        if stated := _POWERSHELL_VARIABLE.fullmatch(word):
            variables[stated[1]] = stated[2]
            continue
        name = base(word)
        own, after = _own(words, at)
        if name in _MANAGERS or (name in _CONTAINERS and _verb(own[at + 1 :]) in {"", "compose"}):
            managed = len(own)
            continue
        if name in _SHELLS and (inner := _shell_text(words[at + 1 :])) is not None:
            found = recognise(split(inner), variables)
            outer = words[: words.index(inner, at)]
            return replace(found, shell=(*outer, *found.shell)) if found else None
        if name in _CONTAINERS and "run" in own[at + 1 : at + 3]:
            found = _docker(own, own.index("run", at) + 1, variables)
            return replace(found, after=after) if found else None
        if engine := _engine(own[at:]):
            known, ran = MappingProxyType(variables), tuple(own[at:])
            return Command(_refined(engine, ran), known, ran, before=tuple(own[:at]), after=after)
    return None


def _verb(words: Sequence[str]) -> str:
    """What docker or podman is told to do, empty where that starts no back end by itself."""
    return next((word for word in words if word in _VERBS), "")


def _own(words: Sequence[str], start: int) -> tuple[list[str], tuple[str, ...]]:
    """The words up to the end of the command that begins at ``start``, and what the shell does behind it."""
    end = next((at for at in range(start + 1, len(words)) if OPERATOR.fullmatch(words[at])), len(words))
    return list(words[:end]), tuple(words[end:])


def in_image(image: str, entrypoint: Sequence[str], arguments: Sequence[str], env: Mapping[str, str]) -> Command | None:
    """The back end that a container runs: the program that its words name, else what the image is known for."""
    found = _image(image)
    command = recognise([*entrypoint, *arguments], env)
    if command is None and found.engine is not None:
        program = {"llama.cpp": "llama-server", "ik_llama.cpp": "llama-server", "exllamav3": "main.py"}
        meant = straight(arguments)
        words = (program.get(found.engine, found.engine), *meant.words)
        known = MappingProxyType(dict(env))
        command = Command(found.engine, known, words, implied=True, typographic=meant.typographic)
    if command is None:
        return None
    engine = "ik_llama.cpp" if found.engine == "ik_llama.cpp" else command.engine
    return replace(command, engine=engine, image=image, device=found.device, build=found.build)


def base(word: str) -> str:
    """A program's bare name, whatever its path and ending."""
    name = PureWindowsPath(word).name if "\\" in word else PurePath(word).name
    return name.lower().removesuffix(".exe")


def _engine(words: Sequence[str]) -> str | None:
    name = base(words[0])
    if name in _PROGRAMS:
        return _PROGRAMS[name]
    if name == "llama" and _SUBCOMMANDS & set(words[1:2]):  # app/llama.cpp of b11434: the tools in one program
        return "llama.cpp"
    if name.startswith("koboldcpp"):
        return "koboldcpp"
    if re.fullmatch(r"python[\d.]*", name):
        return _python(words[1:])
    if (name == "main.py" and _TABBY_FLAGS & set(words)) or (name.endswith(".py") and _EXL3_FLAGS & set(words)):
        return "exllamav3"
    return None


def _python(words: Sequence[str]) -> str | None:
    if "-m" in words[:4]:
        module = words[words.index("-m") + 1 :][:1]
        return _MODULES.get(module[0]) if module else None
    script = next((word for word in words if word.endswith(".py")), "")
    return _engine([script, *words]) if script else None


def _refined(engine: str, words: Sequence[str]) -> str:
    is_ik = engine == "llama.cpp" and (_IK_FLAGS & set(words) or "ik_llama" in words[0] or "ik-llama" in words[0])
    return "ik_llama.cpp" if is_ik else engine


def _shell_text(rest: Sequence[str]) -> str | None:
    for at, word in enumerate(rest[:3]):
        if re.fullmatch(r"-[a-z]*c", word):
            return rest[at + 1] if at + 1 < len(rest) else None
    return None


def _docker(words: list[str], start: int, env: dict[str, str]) -> Command | None:
    inner: dict[str, str] = {}
    entrypoint: list[str] = []
    at = start
    while at < len(words) and words[at].startswith("-"):
        name, joined, value = words[at].partition("=")
        if not joined and not (name in _DOCKER_SWITCHES or _DOCKER_SHORT.match(name)):
            at += 1
            value = words[at] if at < len(words) else ""
        if name in {"-e", "--env"}:
            variable, stated, content = value.partition("=")
            inner[variable] = content if stated else env.get(variable, "")
        elif name == "--entrypoint":
            entrypoint = split(value)
        at += 1
    if at >= len(words):
        return None
    found = in_image(words[at], entrypoint, words[at + 1 :], inner)
    if found is None:
        return None
    own = len(found.words) - (1 if found.implied or entrypoint else 0)
    return replace(found, before=tuple(words[: len(words) - own]), implied=found.implied or bool(entrypoint))


def _image(name: str) -> _Image:
    lowered = name.lower()
    engine = next((engine for part, engine in _IMAGES if part in lowered), None)
    tag = lowered.partition("@")[0].rpartition("/")[2]
    device = next((device for part, device in _IMAGE_DEVICES if part in tag), None)
    build = _IMAGE_BUILD.search(tag) if engine == "llama.cpp" else None
    return _Image(engine, device if engine in {"llama.cpp", "ik_llama.cpp"} else None, build[1] if build else None)

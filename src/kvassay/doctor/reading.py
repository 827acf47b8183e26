"""What several rules ask of a Setup: the pair, the build's number, the device, and the changed line of a fix. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from kvassay.backend.kv import LLAMA_TYPES, is_quantized
from kvassay.doctor.command import OPERATOR, is_windows
from kvassay.doctor.flags import flag_of
from kvassay.doctor.setup import Setup
from kvassay.kv_cache import ggml_name
from kvassay.plan.capability import Placement, placement
from kvassay.plan.capability_file import engines
from kvassay.types import KVConfig

KOBOLD_TYPES = {"0": "f16", "1": "q8_0", "2": "q4_0", "3": "bf16"} | {
    name: name for name in ("f16", "bf16", "q8_0", "q5_1", "q4_0")
}
"""koboldcpp's --quantkv: numbers, and, in newer releases, names (its arguments and load_model at 1.113.1)."""

_LLAMA_FAMILY = frozenset({"llama.cpp", "ollama", "koboldcpp", "lmstudio", "llama-cpp-python"})
_BUILD = re.compile(r"b?(\d{3,6})\b")
_TRUE = frozenset({"1", "true", "on", "yes"})
_JSON_KEYS = {
    "k_type": "llamaKCacheQuantizationType",
    "v_type": "llamaVCacheQuantizationType",
    "flash_attention": "flashAttention",
    "k_number": "type_k",
    "v_number": "type_v",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PLACEHOLDER = re.compile(r"[\w./:-]*\$(?:\w+|\{\w+\})[\w./:-]*")
_ARGUMENTS = frozenset({"$@", "$*"})
_EXPANDS = re.compile(r"\$[A-Za-z_{(]")
_NOT_DOUBLE = re.compile(r'["`\\!]')
_PLAIN_ON_WINDOWS = re.compile(r"(?!\$env:)[\w.:\\/=,+%*?${}~\[\]-]+")
_NOT_PLAIN = re.compile(r":(?: |$)| #|^[\[{&*!|>'\"%@`,?]")  # YAML reads more than text into it
_ENTRIES = {"systemd": "ExecStart=", "quadlet": "Exec=", "llama-swap": "cmd: ", "compose": "command: "}
_VARIABLE_IN = {"powershell": "$env", "cmd": "set"}
_SET_BY = {
    "setx": "setx {} {}", "launchctl": "launchctl setenv {} {}", "set": "set {}={}", "$env": '$env:{} = "{}"',
}  # fmt: skip


def is_llama(setup: Setup) -> bool:
    """Whether llama.cpp itself, or something that runs it, is looked at."""
    return setup.engine in _LLAMA_FAMILY


def is_true(text: str | None) -> bool:
    """Whether a switch's text means yes."""
    return (text or "").strip().lower() in _TRUE


def pair(setup: Setup) -> KVConfig | None:
    """The K/V pair in llama.cpp's types, as allocated where the log tells, else as asked for; None where unknown."""
    rotation = setup.value("rotation_off") != "on"
    if setup.log and setup.log.caches:
        return KVConfig(setup.log.caches[0].k_type, setup.log.caches[0].v_type, rotation)
    k, v = _types(setup)
    known = engines()["ik_llama.cpp"].k_types if setup.engine == "ik_llama.cpp" else LLAMA_TYPES
    return KVConfig(k, v, rotation) if k in known and v in known else None


def _types(setup: Setup) -> tuple[str | None, str | None]:
    match setup.engine:
        case "ollama":
            both = (setup.value("kv_type") or "").strip().lower() or None
            return both or setup.value("inherited_k"), both or setup.value("inherited_v")
        case "koboldcpp":
            both = KOBOLD_TYPES.get(setup.value("quantkv") or "f16")
            return both, "f16" if both and is_quantized(both) and setup.value("flashattention") == "off" else both
        case "llama-cpp-python":
            return _named(setup.value("k_number")), _named(setup.value("v_number"))
        case _:
            return setup.value("k_type"), setup.value("v_type")


def _named(number: str | None) -> str | None:
    if number is None:
        return "f16"
    return ggml_name(int(number)) if number.isdecimal() else None


def quantises(setup: Setup) -> bool:
    """Whether either side of the known pair is quantised."""
    kv = pair(setup)
    return kv is not None and (is_quantized(kv.k) or is_quantized(kv.v))


def flash_off(setup: Setup) -> bool:
    """Whether attention is known to run without flash attention: no kernel of a pair is asked for then."""
    match setup.engine:
        case "koboldcpp":
            return setup.value("flashattention") == "off"
        case "llama-cpp-python":
            return not is_true(setup.value("flash_attn"))
        case _:
            return (setup.value("flash_attention") or "").lower() in {"off", "false"}


def on_cpu(setup: Setup) -> bool:
    """Whether the cache is kept from every device: none is to be used, no layer lies on one, or it stays behind."""
    kept = setup.value("kv_offload") == "off" or setup.value("gpu_layers") == "0"
    return kept or (setup.value("devices_flag") or "").lower() == "none"


def build_number(setup: Setup) -> int | None:
    """llama.cpp's build number; Ollama's pinned one is its engine's. None where unknown (``b0-unknown`` is unknown)."""
    found = _BUILD.match(setup.value("build") or "")
    known = engines().get(setup.engine or "")
    return int(found[1]) if found else (known.pinned_build if known else None)


def placed(setup: Setup, device: str) -> Placement | None:
    """Where the set-up's pair runs on a device; None where the pair isn't known, needs no kernel of its own because
    flash attention is off, or stays with the CPU.
    """
    kv = pair(setup)
    if kv is None or flash_off(setup) or on_cpu(setup):
        return None
    mla = {"yes": True, "no": False}.get(setup.value("mla") or "")
    return placement(
        "llama.cpp" if is_llama(setup) else setup.engine or "",
        build=build_number(setup),
        device=device,
        kv=kv,
        head_dim_k=setup.number("head_dim_k"),
        head_dim_v=setup.number("head_dim_v"),
        fa_quants=setup.value("fa_quants"),
        mla=mla,
    )


def changed(setup: Setup, settings: Mapping[str, str]) -> str:
    """The line with the settings (fact → new value) in it: the whole command where there is one, variables and file
    entries by themselves.
    """
    lines: list[str] = []
    words, before, added = list(setup.words), list(setup.before), list[str]()
    for fact, value in settings.items():
        known, flag = setup.facts.get(fact), flag_of(setup.engine, fact)
        if known and known.how.startswith("environment") and flag and flag.env:
            at = _assigned_at(before, flag.env)
            if at is None:
                lines.append(_variable(setup, flag.env, value))
            else:
                before[at] = f"{before[at].partition('=')[0]}={value}"
        elif setup.words and fact in setup.passed:
            at = setup.passed[fact]
            name, joined, _ = words[at].partition("=")
            words[at] = f"{name}={value}" if joined else value
        elif setup.words and flag and flag.names:
            added += [flag.names[0], value]
        else:
            lines.append(_entry(setup, fact, value))
    if added or words != list(setup.words) or before != list(setup.before):
        lines.append(written(setup, [*words, *added], before))
    return "\n".join(lines)


def without(setup: Setup, fact: str) -> str:
    """The command without a setting: its flag and value are left out; a variable is taken away."""
    flag = flag_of(setup.engine, fact)
    if fact not in setup.passed:
        return unset(setup, (flag.env if flag else None) or fact)
    at, words = setup.passed[fact], list(setup.words)
    alone = "=" in words[at] or (flag is not None and words[at].replace("_", "-") in (*flag.names, *flag.off))
    return written(setup, [word for n, word in enumerate(words) if n not in ({at} if alone else {at - 1, at})])


def unset(setup: Setup, env: str) -> str:
    """How a variable is taken away where the set-up has it from."""
    before = setup.before
    at = _assigned_at(before, env)
    if at is not None:
        gone = {at - 1, at} if at and before[at - 1] in {"-e", "--env", "export", "set"} else {at}
        gone |= {at + 1} if before[at + 1 : at + 2] and OPERATOR.fullmatch(before[at + 1]) else set()
        return written(setup, setup.words, [word for n, word in enumerate(before) if n not in gone])
    if setup.style != "command":
        return f"# remove {env}"
    return {"powershell": f"Remove-Item Env:{env}", "cmd": f"set {env}="}.get(_shell(setup), f"unset {env}")


def written(setup: Setup, words: Sequence[str], before: Sequence[str] | None = None) -> str:
    """A command as it stands where it was found: in a shell, in a compose file, in a unit."""
    shown = [*(setup.before if before is None else before), *(words[1:] if setup.implied else words), *setup.after]
    quoted = _quoted_for_windows if is_windows(" ".join(shown)) else _quoted
    line = " ".join(quoted(word) for word in shown)
    if setup.shell:
        line = shlex.join([*setup.shell, line])
    entry = "entrypoint: " if setup.entrypoint else _ENTRIES.get(setup.style, "")
    if entry.endswith(": ") and _NOT_PLAIN.search(line):
        entry += ">-\n  "
    return entry + line + ("\ncommand: []" if setup.entrypoint else "")


def _quoted(word: str) -> str:
    if OPERATOR.fullmatch(word):
        return word
    if word.startswith("$env:"):
        name, _, value = word.partition("=")
        return f'{name}="{value}"'
    assigned = _ASSIGNMENT.match(word)
    if assigned:
        return assigned[0] + (_expanding(word[assigned.end() :]) if word[assigned.end() :] else "")
    return _expanding(word)


def _expanding(word: str) -> str:
    """A word quoted so that the shell still fills in what it would have filled in: a variable, a command, ``~``."""
    if word.startswith("~/"):
        return "~/" + (_expanding(word[2:]) if word[2:] else "")
    if _PLACEHOLDER.fullmatch(word):
        return word
    expands = word in _ARGUMENTS or _EXPANDS.search(word)
    return f'"{word}"' if expands and not _NOT_DOUBLE.search(word) else shlex.quote(word)


def _quoted_for_windows(word: str) -> str:
    """As cmd and PowerShell read it; single quotes mean nothing to cmd."""
    if OPERATOR.fullmatch(word) or _PLAIN_ON_WINDOWS.fullmatch(word):
        return word
    if word.startswith("$env:"):
        return _quoted(word)
    escaped = word.replace('"', '\\"')
    return f'"{escaped}"'


def _assigned_at(words: Sequence[str], env: str) -> int | None:
    forms = (f"{env}=", f"$env:{env}=")
    return next((at for at, word in enumerate(words) if word.startswith(forms)), None)


def _shell(setup: Setup) -> str:
    """Whose language the set-up's command is written in, as far as its file's name or its words tell."""
    if setup.label.lower().endswith(".ps1") or any(word.startswith("$env:") for word in setup.before):
        return "powershell"
    windows = setup.label.lower().endswith((".bat", ".cmd")) or is_windows(" ".join(setup.words))
    return "cmd" if windows else "sh"


def _variable(setup: Setup, env: str, value: str) -> str:
    match setup.style:
        case "systemd" | "quadlet":
            return f'Environment="{env}={value}"'
        case "compose" if not setup.env_list:
            return f"{env}: {value}"
        case "compose":
            return f"- {env}={value}"
        case "llama-swap":
            return f"- {env}={value}"
        case "command":
            return _SET_BY.get(_VARIABLE_IN.get(_shell(setup), ""), "{}={}").format(env, value)
        case style:
            return _SET_BY.get(style, "{}={}").format(env, value)


def _entry(setup: Setup, fact: str, value: str) -> str:
    """A setting by itself: a file's entry, a variable where only variables were seen, else the flag."""
    flag = flag_of(setup.engine, fact)
    if setup.style == "yaml":
        key = flag.names[0].removeprefix("--") if flag and flag.names and setup.engine == "vllm" else fact
        return f"{key}: {value}"
    if setup.style == "json":
        shown = value if value in {"true", "false"} or value.isdecimal() else f'"{value}"'
        return f'"{_JSON_KEYS.get(fact, fact)}": {shown}'
    if flag and flag.env and (setup.style != "command" or not flag.names):
        return _variable(setup, flag.env, value)
    return f"{flag.names[0]} {value}" if flag and flag.names else f"{fact} {value}"

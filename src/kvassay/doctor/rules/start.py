"""Rules about llama.cpp refusing to start, or reading the command otherwise than its author."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvassay.backend.kv import LLAMA_TYPES, is_quantized
from kvassay.doctor.flags import flag_of
from kvassay.doctor.reading import build_number, changed, is_llama, pair, quantises, unset, without, written
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.plan.capability import since
from kvassay.plan.capability_file import engines

_BLOCK = 32
_CUT_SHORT = re.compile(r"(\d+)([kKmM]|(?:[,_.]\d{3})+)")
_REMOVED = {
    **dict.fromkeys(("--draft", "--draft-n", "--draft-max"), "--spec-draft-n-max"),
    **dict.fromkeys(("--draft-min", "--draft-n-min"), "--spec-draft-n-min"),
}
_REMOVED_AT = 11434
_UNITS = {"k": 1024, "m": 1024 * 1024}
_IK_FLASH_VALUES = frozenset({"on", "1", "off", "0", "auto"})
_FLASH_VALUES = frozenset({"on", "enabled", "true", "1", "off", "disabled", "false", "0", "auto", "-1"})
_QUANTISED_TENSOR_SPLIT = "split-mode-tensor-quantised"


def unknown_type(setup: Setup) -> Iterator[Finding]:
    """A cache type that the back end does not know."""
    if setup.engine not in {"llama.cpp", "ik_llama.cpp", "lmstudio"}:
        return
    known = engines()[setup.engine].k_types
    for fact in ("k_type", "v_type", "draft_k_type", "draft_v_type"):
        value = setup.value(fact)
        if value is not None and value not in known:
            yield Finding(
                Severity.PROBLEM,
                f"{value!r} is no cache type of this back end.",
                f"It takes {', '.join(known)}; llama.cpp ends with 'Unsupported cache type: {value}'.",
                setup.evidence(fact),
                changed(setup, {fact: _nearest(value)}),
                "llama.cpp b11434 common/arg.cpp:304-323",
            )


def _nearest(value: str) -> str:
    lowered = value.lower().replace("-", "_")
    if lowered in LLAMA_TYPES:
        return lowered
    if lowered in {"fp16", "float16", "half"}:
        return "f16"
    alike = [one for one in LLAMA_TYPES if one.startswith(lowered[:2])]
    return f"{lowered[:2]}_0" if f"{lowered[:2]}_0" in alike else (alike or ["q8_0"])[0]


def v_needs_flash_attention(setup: Setup) -> Iterator[Finding]:
    """V is quantised and flash attention is off."""
    kv, asked = pair(setup), setup.value("v_type") or "f16"
    cache_type = kv.v if kv else asked
    known = engines()[setup.engine].v_types if setup.engine in {"llama.cpp", "ik_llama.cpp"} else ()
    if cache_type in known and is_quantized(cache_type) and setup.value("flash_attention") == "off":
        yield Finding(
            Severity.PROBLEM,
            f"V at {cache_type} needs flash attention, which is off.",
            "The server refuses to start: 'quantized V cache requires flash_attn to be enabled'.",
            setup.evidence("v_type", "flash_attention"),
            changed(setup, {"flash_attention": "on"}),
            "llama.cpp b11434 src/llama-context.cpp:3843-3852",
        )


def flash_attention_value(setup: Setup) -> Iterator[Finding]:
    """-fa stands there without on, off or auto, as builds of before September 2025 wanted it."""
    at, flag = setup.passed.get("flash_attention"), flag_of(setup.engine, "flash_attention")
    if setup.engine not in {"llama.cpp", "ik_llama.cpp"} or at is None or flag is None:
        return
    word, known = setup.words[at], _FLASH_VALUES
    if setup.engine == "ik_llama.cpp":  # common/common.cpp at 007d6400
        word, known = word.lower(), _IK_FLASH_VALUES
    if "=" in word or word in known or word in flag.off:
        return
    bare = word.startswith("-")
    if bare and since("flash-attn-wants-a-value", build_number(setup)) is False:
        return
    fixed = [*setup.words[: at + bare], "on", *setup.words[at + 1 :]]
    yield Finding(
        Severity.PROBLEM,
        f"{word} wants a value: on, off or auto." if bare else f"{word!r} is no value of -fa: on, off or auto.",
        "It takes the next word for its value, and the server does not start ('unknown value for --flash-attn'). "
        "llama.cpp's builds of before September 2025 and ik_llama.cpp's of before November 2025 took no value."
        if bare
        else "The server does not start; llama.cpp's says 'unknown value for --flash-attn', and small letters count.",
        setup.evidence("flash_attention", "build"),
        written(setup, fixed),
        "llama.cpp b11434 common/arg.cpp:1757-1775, PR 15434; ik_llama.cpp PR 944",
    )


def grok_quantised_v(setup: Setup) -> Iterator[Finding]:
    """Grok models switch flash attention off, so that V can't be quantised."""
    kv = pair(setup)
    if is_llama(setup) and setup.value("architecture") == "grok" and kv is not None and is_quantized(kv.v):
        yield Finding(
            Severity.PROBLEM,
            f"Grok models run without flash attention, so V can't be {kv.v}.",
            "llama.cpp forces flash attention off for this architecture, and then refuses a quantised V.",
            setup.evidence("architecture", "v_type"),
            changed(setup, {"v_type": "f16"}),
            "llama.cpp b11434 src/llama-context.cpp:3819",
        )


def head_dimension(setup: Setup) -> Iterator[Finding]:
    """A quantised side needs a head dimension that is a multiple of 32."""
    kv = pair(setup)
    if not is_llama(setup) or kv is None or setup.value("flash_attention") == "off":
        return
    for side, cache_type in (("k", kv.k), ("v", kv.v)):
        dim = setup.number(f"head_dim_{side}")
        if dim is not None and dim % _BLOCK and is_quantized(cache_type):
            yield Finding(
                Severity.PROBLEM,
                f"{side.upper()} at {cache_type} does not fit this model: its head dimension is {dim}.",
                f"Quantised types are stored in blocks of {_BLOCK}; the server refuses to start.",
                setup.evidence(f"head_dim_{side}", f"{side}_type"),
                changed(setup, {f"{side}_type": "f16"}),
                "llama.cpp b11434 src/llama-context.cpp:3854-3874; ollama issue 16245",
            )


def mla_unequal(setup: Setup) -> Iterator[Finding]:
    """Multi-head latent attention and DeepSeek-V4 take no unequal pair."""
    kv = pair(setup)
    latent = setup.value("mla") == "yes" or setup.value("architecture") == "deepseek4"
    if not is_llama(setup) or kv is None or not latent or kv.k == kv.v:
        return
    known = since("mla-unequal-refused", build_number(setup))
    if known is False:
        return
    yield Finding(
        Severity.PROBLEM if known else Severity.NOTE,
        f"This model takes one type for K and V, not {kv}.",
        "It keeps one latent for both sides; builds from b10216 refuse unequal types."
        + ("" if known else " Your build is not known; if it is one of them, the server won't start."),
        setup.evidence("mla", "architecture", "k_type", "v_type", "build"),
        changed(setup, {"v_type": kv.k}),
        "llama.cpp b11434 src/llama-context.cpp:3838-3841, bisected b10204..b10216",
    )


def tensor_split_quantised(setup: Setup) -> Iterator[Finding]:
    """--split-mode tensor with a quantised cache, in builds that don't have it."""
    if setup.value("split_mode") != "tensor" or not quantises(setup):
        return
    known = since(_QUANTISED_TENSOR_SPLIT, build_number(setup))
    if known is False:
        yield Finding(
            Severity.PROBLEM,
            "This build takes no quantised cache with --split-mode tensor.",
            "It came between b9352 and b9528.",
            setup.evidence("split_mode", "k_type", "v_type", "build"),
            changed(setup, {"split_mode": "layer"}),
            "bisected over llama.cpp b9352..b9528",
        )
    elif known is None:
        yield Finding(
            Severity.NOTE,
            "--split-mode tensor with a quantised cache depends on the build.",
            "If your build is b9352 or older, it is refused; from b9528 on it is allowed.",
            setup.evidence("split_mode", "build"),
            None,
            "bisected over llama.cpp b9352..b9528",
        )


def typographic_marks(setup: Setup) -> Iterator[Finding]:
    """Dashes, quotes or spaces are a word processor's, which no shell and no program reads as such."""
    if setup.typographic:
        yield Finding(
            Severity.PROBLEM,
            f"{setup.typographic[0]} is written with typographic dashes, quotes or spaces.",
            'They look like -, " and a space, but to a shell and to the program they are letters like others. What is '
            "said here is read as if they were plain.",
            tuple(f"word: {word}" for word in setup.typographic),
            written(setup, setup.words),
            "llama.cpp b11434 common/arg.cpp:806-818; POSIX.1-2024, 2.2 Quoting",
        )


def joined_flags(setup: Setup) -> Iterator[Finding]:
    """llama-server does not read --flag=value."""
    if setup.engine != "llama.cpp" or not setup.joined:
        return
    apart = [word for one in setup.words for word in _apart(one, setup.joined)]
    yield Finding(
        Severity.PROBLEM,
        f"llama-server does not read {setup.joined[0]}=…: flag and value are two words.",
        "It ends with 'error: invalid argument' (read at b11434; other builds were not checked).",
        tuple(f"{name}=…" for name in setup.joined),
        written(setup, apart),
        "llama.cpp b11434 common/arg.cpp:806-818",
    )


def _apart(word: str, names: tuple[str, ...]) -> list[str]:
    name, joined, value = word.partition("=")
    return [name, value] if joined and name in names else [word]


def removed_flags(setup: Setup) -> Iterator[Finding]:
    """Flags of speculative decoding that llama-server has taken out."""
    build = build_number(setup)
    if setup.engine != "llama.cpp" or (build is not None and build < _REMOVED_AT):
        return
    for at, word in enumerate(setup.words):
        name = word.replace("_", "-")
        if name in _REMOVED:
            yield Finding(
                Severity.PROBLEM,
                f"{word} has been removed.",
                "llama-server ends with 'the argument has been removed' (read at b11434; which build took it out was "
                "not looked for).",
                (f"argument: {' '.join(setup.words[at : at + 2])}",),
                written(setup, [*setup.words[:at], _REMOVED[name], *setup.words[at + 1 :]]),
                "llama.cpp b11434 common/arg.cpp:4407-4450",
            )


def number_cut_short(setup: Setup) -> Iterator[Finding]:
    """llama-server reads a number up to its first letter or comma: 32k is 32."""
    for fact in ("context", "parallel", "batch", "ubatch") if setup.engine == "llama.cpp" else ():
        found = _CUT_SHORT.fullmatch(setup.value(fact) or "")
        if found is None:
            continue
        unit = _UNITS.get(found[2].lower())
        meant = int(found[1]) * unit if unit else int(re.sub(r"\D", "", found[0]))
        yield Finding(
            Severity.WARNING,
            f"{found[0]} is read as {found[1]}.",
            "llama-server reads digits and drops the rest without a word (std::stoi); it knows no units.",
            setup.evidence(fact),
            changed(setup, {fact: str(meant)}),
            "llama.cpp b11434 common/arg.cpp:795, 858",
        )


def env_overridden(setup: Setup) -> Iterator[Finding]:
    """A variable is set, but a flag says something else."""
    for one in setup.overridden:
        if one.env_value != one.flag_value:
            yield Finding(
                Severity.WARNING,
                f"{one.env}={one.env_value} has no effect: {one.flag} {one.flag_value} overrides it.",
                "The command line beats the environment; the server says so on stderr only.",
                (f"environment: {one.env}={one.env_value}", f"argument: {one.flag} {one.flag_value}"),
                unset(setup, one.env),
                "llama.cpp b11434 common/arg.cpp:787-843",
            )


def repeated_flags(setup: Setup) -> Iterator[Finding]:
    """A flag stands there twice: the last one counts."""
    for name in setup.repeated if setup.engine == "llama.cpp" else ():
        yield Finding(
            Severity.WARNING,
            f"{name} stands there more than once; only the last one counts.",
            "llama-server warns ('specified multiple times') and goes on.",
            setup.evidence(*(fact for fact, how in setup.facts.items() if how.how.startswith(f"argument: {name}"))),
            None,
            "llama.cpp b11434 common/arg.cpp:819-825",
        )


def context_zero(setup: Setup) -> Iterator[Finding]:
    """-c 0 asks for the whole context and disables its reduction."""
    if setup.engine == "llama.cpp" and setup.value("context") == "0" and setup.value("fit") != "off":
        yield Finding(
            Severity.WARNING,
            "-c 0 takes the model's whole context, and --fit may not reduce it.",
            "Leave -c away to let --fit shrink the context to your memory, or name the length you need; "
            "with -c 0 layers are moved to the CPU instead.",
            setup.evidence("context", "fit"),
            without(setup, "context"),
            "llama.cpp b11434 common/arg.cpp:1644-1649",
        )


def fit_without_effect(setup: Setup) -> Iterator[Finding]:
    """--fit was asked for, but something that it would choose is set."""
    fixed = [name for name in ("gpu_layers", "tensor_split", "override_tensor") if setup.stated(name)]
    if setup.engine == "llama.cpp" and fixed and setup.stated("fit") and setup.value("fit") == "on":
        yield Finding(
            Severity.WARNING,
            "--fit gives up where the layers' places are already set.",
            "Once the context can't be shrunk any further, it would move layers; with -ngl, -ts or -ot set it aborts.",
            setup.evidence("fit", *fixed),
            without(setup, fixed[0]),
            "llama.cpp b11434 common/fit.cpp",
        )


def fit_keeps_types(setup: Setup) -> Iterator[Finding]:
    """--fit shrinks the context, never the cache types."""
    fits = setup.value("fit") == "on" and setup.value("context") is None and setup.value("split_mode") != "tensor"
    if setup.engine == "llama.cpp" and fits and setup.words and not setup.unresolved:
        yield Finding(
            Severity.NOTE,
            "Without -c the context is shrunk to what fits, down to 4,096 tokens; cache types never change.",
            "--fit is on by default, leaves 1,024 MiB free on each device, and says what it did at verbosity 4 only. "
            "'kvassay plan' shows what each pair would leave you.",
            setup.evidence("fit", "k_type", "v_type"),
            None,
            "llama.cpp b11434 common/common.h:483-486, common/fit.cpp",
        )

"""Rules about programs that run llama.cpp: Ollama, koboldcpp, LM Studio, llama-cpp-python."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.backend.kv import LLAMA_TYPES, is_quantized
from kvassay.doctor.reading import KOBOLD_TYPES, changed, is_true, pair, unset, without, written
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.kv_cache import ggml_id, ggml_name

_OLLAMA = "Ollama fb307609"
_DOCUMENTED = ("f16", "q8_0", "q4_0")
_KOBOLD = "koboldcpp 1.113.1, --quantkv and --noflashattention of its arguments"


def ollama_unchecked(setup: Setup) -> Iterator[Finding]:
    """Ollama hands its cache type on without looking at it."""
    value = setup.value("kv_type")
    if setup.engine != "ollama" or not value or value.lower() in _DOCUMENTED:
        return
    known = value.lower() in LLAMA_TYPES
    yield Finding(
        Severity.WARNING if known else Severity.PROBLEM,
        f"OLLAMA_KV_CACHE_TYPE={value} is not one of {', '.join(_DOCUMENTED)}.",
        "Ollama does not check the value but hands it to llama-server, "
        + ("which takes it, although it is undocumented." if known else "which refuses it when a model is loaded."),
        setup.evidence("kv_type"),
        changed(setup, {"kv_type": "q8_0"}),
        f"{_OLLAMA} llm/llama_server.go:394-395, fs/ggml/ggml.go:898",
    )


def ollama_one_value(setup: Setup) -> Iterator[Finding]:
    """One value for K and V and all models, which Ollama's forecast of the memory does not know of."""
    value = (setup.value("kv_type") or "").lower()
    if setup.engine == "ollama" and value in LLAMA_TYPES and is_quantized(value):
        yield Finding(
            Severity.NOTE,
            f"K and V are both {value}, for every model of this server.",
            "There is one value for both sides. Before it loads a model Ollama counts the cache as f16, whatever the "
            "type, so that it may unload another model although both would fit; 'ollama ps' then tells what was "
            "allocated.",
            setup.evidence("kv_type"),
            None,
            "Ollama 00f6d620 llm/llama_server.go, PredictServerVRAM and memoryParsingWriter",
        )


def ollama_flash_attention(setup: Setup) -> Iterator[Finding]:
    """A quantised cache with flash attention off."""
    value = (setup.value("kv_type") or "").lower()
    off = setup.stated("flash_attention") and setup.value("flash_attention") == "off"
    if setup.engine == "ollama" and value in LLAMA_TYPES and is_quantized(value) and off:
        yield Finding(
            Severity.PROBLEM,
            f"OLLAMA_KV_CACHE_TYPE={value} needs flash attention, which is off.",
            "llama-server, which Ollama starts, refuses a quantised V without it: models won't load.",
            setup.evidence("kv_type", "flash_attention"),
            changed(setup, {"flash_attention": "1"}),
            f"{_OLLAMA}; llama.cpp b11434 src/llama-context.cpp:3843-3852",
        )


def ollama_client_env(setup: Setup) -> Iterator[Finding]:
    """The variable is set for a client: the server does not see it."""
    command = setup.value("subcommand")
    if setup.engine == "ollama" and setup.stated("kv_type") and command not in {None, "serve", "start"}:
        yield Finding(
            Severity.WARNING,
            f"OLLAMA_KV_CACHE_TYPE is set for 'ollama {command}', which does not load the model.",
            "The server reads it when it starts. Where Ollama runs as a service, set it there (systemctl edit "
            "ollama) and "
            "restart it.",
            setup.evidence("kv_type", "subcommand"),
            f'[Service]\nEnvironment="OLLAMA_KV_CACHE_TYPE={setup.value("kv_type")}"',
            f"{_OLLAMA} envconfig",
        )


def ollama_env_missing(setup: Setup) -> Iterator[Finding]:
    """A service or container of Ollama without the variable: the cache is f16."""
    serves = setup.value("subcommand") in {None, "serve", "start"}
    if setup.engine == "ollama" and serves and setup.words and not setup.stated("kv_type"):
        yield Finding(
            Severity.NOTE,
            "OLLAMA_KV_CACHE_TYPE is not set here: this server's cache is f16.",
            "A value in your own shell does not reach a service or container; variables from elsewhere (a drop-in, an "
            "EnvironmentFile) were not seen.",
            ("no OLLAMA_KV_CACHE_TYPE in what was read",),
            None,
            f"{_OLLAMA} llm/llama_server.go:394-395",
        )


def ollama_inherited(setup: Setup) -> Iterator[Finding]:
    """llama.cpp's own variables reach the child, unless Ollama's is set."""
    given = [name for name in ("inherited_k", "inherited_v") if setup.stated(name)]
    if setup.engine != "ollama" or not given:
        return
    beaten = setup.stated("kv_type")
    yield Finding(
        Severity.WARNING if beaten else Severity.NOTE,
        "LLAMA_ARG_CACHE_TYPE_K/V have no effect beside OLLAMA_KV_CACHE_TYPE."
        if beaten
        else "K and V are set apart through llama.cpp's own variables, which Ollama hands on undocumented.",
        "Ollama's value is passed as flags, and flags beat variables."
        if beaten
        else "It works as long as OLLAMA_KV_CACHE_TYPE is unset, and may stop with any version.",
        setup.evidence(*given, "kv_type"),
        unset(setup, "OLLAMA_KV_CACHE_TYPE") if beaten else None,
        f"{_OLLAMA} SetupLlamaServerCommandEnv",
    )


def ollama_context(setup: Setup) -> Iterator[Finding]:
    """Each parallel request multiplies the cache."""
    slots, context = setup.number("parallel"), setup.number("context")
    if setup.engine == "ollama" and slots is not None and slots > 1:
        total = f": {slots * context:,} tokens" if context else ""
        yield Finding(
            Severity.NOTE,
            f"The cache is {slots} × the context{total}.",
            "Ollama starts llama-server with -c num_ctx × OLLAMA_NUM_PARALLEL.",
            setup.evidence("parallel", "context"),
            changed(setup, {"parallel": "1"}),
            f"{_OLLAMA} llm/llama_server.go",
        )


def koboldcpp_quantkv(setup: Setup) -> Iterator[Finding]:
    """--quantkv: its range, and what it does without flash attention."""
    if setup.engine != "koboldcpp" or not setup.stated("quantkv"):
        return
    value = setup.value("quantkv") or ""
    if value not in KOBOLD_TYPES:
        yield Finding(
            Severity.PROBLEM if setup.words else Severity.WARNING,
            f"--quantkv {value} is none of f16, bf16, q8_0, q5_1 and q4_0.",
            "koboldcpp refuses the command; a file's value counts as f16. 0, 1 and 2 are the older names of f16, q8_0 "
            "and q4_0, and the only ones that 1.102 knows.",
            setup.evidence("quantkv"),
            changed(setup, {"quantkv": "1"}),
            _KOBOLD,
        )
    elif is_quantized(KOBOLD_TYPES[value]) and setup.value("flashattention") == "off":
        yield Finding(
            Severity.WARNING,
            f"Without flash attention only K is quantised ({KOBOLD_TYPES[value]}/f16).",
            "V stays f16, so the cache is larger than --quantkv suggests. koboldcpp itself advises against it.",
            setup.evidence("quantkv", "flashattention"),
            without(setup, "flashattention") if setup.words else '"noflashattention": false',
            _KOBOLD,
        )
    elif value in {"1", "2"} and not setup.stated("flashattention"):
        yield Finding(
            Severity.NOTE,
            f"V is {KOBOLD_TYPES[value]}, too, unless your koboldcpp is an older one.",
            "Flash attention is on by default today (seen in 1.113.1). In 1.102 it was off, and then only K was "
            "quantised; --flashattention says it for both.",
            setup.evidence("quantkv", "flashattention"),
            written(setup, [*setup.words, "--flashattention"]) if setup.words else None,
            _KOBOLD,
        )


def lmstudio_flash_attention(setup: Setup) -> Iterator[Finding]:
    """A quantised V without flash attention."""
    kv = pair(setup)
    if (
        setup.engine == "lmstudio"
        and kv is not None
        and is_quantized(kv.v)
        and not is_true(setup.value("flash_attention"))
    ):
        yield Finding(
            Severity.PROBLEM,
            f"V at {kv.v} needs flash attention, which is not switched on in this configuration.",
            "llama.cpp refuses a quantised V without it.",
            setup.evidence("v_type", "flash_attention"),
            changed(setup, {"flash_attention": "true"}),
            "@lmstudio/sdk 2.0.0 dist/index.d.ts:4042-4058",
        )


def lmstudio_python(setup: Setup) -> Iterator[Finding]:
    """Cache types in a plain dict of the Python SDK were reported as ignored."""
    if setup.engine == "lmstudio" and (setup.stated("k_type") or setup.stated("v_type")):
        yield Finding(
            Severity.NOTE,
            "Check that LM Studio took the cache types: getLoadConfig() tells.",
            "If they come from a plain dict of lmstudio-python, they were reported as ignored (issue 107).",
            setup.evidence("k_type", "v_type"),
            None,
            "lmstudio-python issue 107",
        )


def lmstudio_mlx(setup: Setup) -> Iterator[Finding]:
    """The MLX engine has one number of bits for both sides."""
    if setup.engine == "lmstudio" and setup.stated("mlx_bits"):
        yield Finding(
            Severity.NOTE,
            "The MLX engine quantises K and V with the same number of bits.",
            "They can't be set apart; quantisation begins after quantizedStart tokens (5,000 by default).",
            setup.evidence("mlx_bits"),
            None,
            "@lmstudio/sdk 2.0.0 dist/index.d.ts:4178",
        )


def python_numbers(setup: Setup) -> Iterator[Finding]:
    """llama-cpp-python wants ggml's numbers, not names."""
    if setup.engine != "llama-cpp-python":
        return
    for fact in ("k_number", "v_number"):
        value = setup.value(fact)
        if value is None or (value.isdecimal() and ggml_name(int(value))):
            continue
        number = ggml_id(value.lower())
        known = ", ".join(f"{ggml_id(name)} is {name}" for name in LLAMA_TYPES)
        yield Finding(
            Severity.PROBLEM,
            f"{value!r} is no number of a cache type.",
            f"llama-cpp-python takes ggml's numbers: {known}.",
            setup.evidence(fact),
            changed(setup, {fact: str(8 if number is None else number)}),
            "llama-cpp-python 0.3.36 llama_cpp/server/settings.py:179-186",
        )


def python_flash_attention(setup: Setup) -> Iterator[Finding]:
    """flash_attn is off by default there."""
    number = setup.number("v_number")
    name = ggml_name(number) if number is not None else None
    if setup.engine == "llama-cpp-python" and name and is_quantized(name) and not is_true(setup.value("flash_attn")):
        yield Finding(
            Severity.PROBLEM,
            f"V at {name} needs flash_attn, which is off by default.",
            "llama-cpp-python passes 'disabled' unless told otherwise, and llama.cpp then refuses a quantised V.",
            setup.evidence("v_number", "flash_attn"),
            changed(setup, {"flash_attn": "true"}),
            "llama-cpp-python 0.3.36 llama_cpp/llama.py:354-370",
        )

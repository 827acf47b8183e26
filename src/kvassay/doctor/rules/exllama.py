"""Rules about ExLlamaV3 and TabbyAPI."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvassay.doctor.reading import changed
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.kv_cache import PAD, pad

_TABBY = "TabbyAPI e632af41 common/config_models.py:12-13, 203, 469"
_NAMED = re.compile(r"FP16|Q[468]")
_PAIR = re.compile(r"\s*([2-8])\s*,\s*([2-8])\s*")
_FEW_BITS_OF_K, _FEW_BITS_OF_V = 5, 2
_ENOUGH_BITS_OF_V = 4  # beside 8 of K
_MEASURED = "Qwen2.5-Coder-1.5B in float16, exllamav3 1.6.5, CUDA, 180 probes a pair at 2k, 8k and 16k tokens"
_NOTHING_FOLLOWS = "Nothing follows for other models: 'kvassay run' measures yours."


def cache_mode_form(setup: Setup) -> Iterator[Finding]:
    """cache_mode is FP16, Q8, Q6, Q4, or two numbers of bits from 2 to 8."""
    for fact in ("cache_mode", "cache_pair"):
        value = setup.value(fact)
        if setup.engine != "exllamav3" or value is None or _NAMED.fullmatch(value) or _PAIR.fullmatch(value):
            continue
        if fact == "cache_pair" and re.fullmatch(r"[2-8]", value):
            continue
        yield Finding(
            Severity.PROBLEM,
            f"{value!r} is no cache mode.",
            "It is FP16, Q8, Q6 or Q4 for both sides, in capital letters, or whole bits from 2 to 8 for K and V: "
            "'8,4'. llama.cpp's names and FP8 are not known; 'one side FP16' does not exist.",
            setup.evidence(fact),
            changed(setup, {fact: _guess(value)}),
            f"{_TABBY}; exllamav3 1.6.5 cache/quant.py:27-45",
        )


def _guess(value: str) -> str:
    if _NAMED.fullmatch(value.upper()):
        return value.upper()
    numbers = [min(8, max(2, int(n))) for n in re.findall(r"(?<![\d_])\d{1,2}(?!\d)", value)[:2]]
    if not numbers:
        return "8,8"
    return f"{numbers[0]},{numbers[-1]}"


def _bits(setup: Setup, fact: str = "cache_mode") -> tuple[int, int] | None:
    value = setup.value(fact) or ""
    if found := _PAIR.fullmatch(value):
        return int(found[1]), int(found[2])
    both = "[2-8]" if fact == "cache_pair" else "[qQ][468]"
    return (int(value[-1]),) * 2 if re.fullmatch(both, value) else None


def _pairs(setup: Setup) -> Iterator[tuple[str, int, int]]:
    """The bits of K and V wherever ExLlamaV3 is told them, and where that is."""
    for fact in ("cache_mode", "cache_pair"):
        if setup.engine == "exllamav3" and (bits := _bits(setup, fact)):
            yield fact, *bits


def few_bits_of_k(setup: Setup) -> Iterator[Finding]:
    """K at 5 bits or fewer under ExLlamaV3: what has been measured, on one model."""
    for fact, k, v in _pairs(setup):
        if k > _FEW_BITS_OF_K:
            continue
        yield Finding(
            Severity.WARNING,
            f"K at few bits has been seen to break tool calls; here it has {k}.",
            f"Measured on one model ({_MEASURED}): with 5,8 16 were right, with 4,8 and 4,4 one; FP16 had 126, and 8,4 "
            f"130. {_NOTHING_FOLLOWS}",
            setup.evidence(fact, "model"),
            changed(setup, {fact: f"8,{max(v, _ENOUGH_BITS_OF_V)}"}),
            "docs/results/claim-30k, ExLlamaV3",
        )


def few_bits_of_v(setup: Setup) -> Iterator[Finding]:
    """V at 2 bits under ExLlamaV3, where K is not the greater worry: what has been measured, on one model."""
    for fact, k, v in _pairs(setup):
        if k <= _FEW_BITS_OF_K or v > _FEW_BITS_OF_V:
            continue
        yield Finding(
            Severity.WARNING,
            "V at 2 bits has been seen to cost tool calls.",
            f"Measured on one model ({_MEASURED}): with 8,2 106 were right; FP16 had 126, and 8,4 130. "
            f"{_NOTHING_FOLLOWS}",
            setup.evidence(fact, "model"),
            changed(setup, {fact: f"8,{_ENOUGH_BITS_OF_V}"}),
            "docs/results/claim-30k, ExLlamaV3",
        )


def odd_bits(setup: Setup) -> Iterator[Finding]:
    """Each value costs half a bit more than the number says."""
    bits = _bits(setup)
    if setup.engine == "exllamav3" and bits is not None and any(n not in {4, 6, 8} for n in bits):
        k, v = bits
        yield Finding(
            Severity.NOTE,
            f"{k},{v} bits are valid, and take {k + 0.5:g} and {v + 0.5:g} bits a value.",
            "Every group of 32 has an fp16 scale. Bits other than 4, 6 and 8 can only be written as a pair, not as Q5.",
            setup.evidence("cache_mode"),
            None,
            "exllamav3 1.6.5 cache/quant.py:27-45",
        )


def q6_differs(setup: Setup) -> Iterator[Finding]:
    """Q6 meant 8-bit K and 4-bit V in ExLlamaV2."""
    if setup.engine == "exllamav3" and (setup.value("cache_mode") or "").lower() == "q6":
        yield Finding(
            Severity.NOTE,
            "Q6 is another cache here than it was in ExLlamaV2.",
            "There it was an 8-bit K with a 4-bit V; ExLlamaV3 has bits for each side. To get the old split "
            "write '8,4'.",
            setup.evidence("cache_mode"),
            changed(setup, {"cache_mode": "8,4"}),
            "exllamav2 0.3.2 cache.py:584-656",
        )


def cache_size_pages(setup: Setup) -> Iterator[Finding]:
    """The cache's size is a whole number of pages, and holds at least the longest sequence."""
    size, longest = setup.number("cache_size"), setup.number("max_seq_len")
    if setup.engine != "exllamav3" or size is None:
        return
    if size % PAD:
        yield Finding(
            Severity.PROBLEM,
            f"cache_size {size:,} is no multiple of {PAD}.",
            f"The cache is made of pages of {PAD} tokens, and TabbyAPI refuses any other number.",
            setup.evidence("cache_size"),
            changed(setup, {"cache_size": str(pad(size))}),
            "TabbyAPI 004e8374 common/config_models.py, cache_size; exllamav3 1.6.5, page size",
        )
    if longest is not None and size < longest:
        yield Finding(
            Severity.WARNING,
            f"cache_size {size:,} holds less than max_seq_len {longest:,}.",
            "One sequence can't be longer than the cache; TabbyAPI takes the smaller number and goes on.",
            setup.evidence("cache_size", "max_seq_len"),
            changed(setup, {"cache_size": str(pad(longest))}),
            "exllamav3 1.6.5, page size",
        )


def draft_cache_mode(setup: Setup) -> Iterator[Finding]:
    """The draft's mode takes no pair, whatever its description says; unset it is FP16."""
    if setup.engine != "exllamav3":
        return
    value = setup.value("draft_cache_mode")
    if value is not None and not _NAMED.fullmatch(value):
        yield Finding(
            Severity.PROBLEM,
            f"draft_cache_mode {value!r} is refused: it takes FP16, Q8, Q6 or Q4 only.",
            "Its description speaks of a pair like cache_mode's, but the validation does not know it.",
            setup.evidence("draft_cache_mode"),
            changed(setup, {"draft_cache_mode": "Q8"}),
            _TABBY,
        )
    elif (
        value is None and setup.stated("draft_model") and setup.value("draft_mode") in {None, "model"} and _bits(setup)
    ):
        yield Finding(
            Severity.NOTE,
            "The draft model's cache has a mode of its own and stays FP16.",
            "cache_mode does not hold for it.",
            setup.evidence("cache_mode", "draft_model"),
            changed(setup, {"draft_cache_mode": "Q8"}),
            _TABBY,
        )


def draft_same_bits(setup: Setup) -> Iterator[Finding]:
    """In ExLlamaV3's own scripts -cq holds for the draft, too."""
    if setup.engine == "exllamav3" and setup.stated("cache_pair"):
        yield Finding(
            Severity.NOTE,
            "-cq gives a draft model's cache the same bits.",
            "There is no flag of its own for the draft in ExLlamaV3's scripts.",
            setup.evidence("cache_pair"),
            None,
            "exllamav3 1.6.5 model_init.py:120, 299-313",
        )


def global_layers_only(setup: Setup) -> Iterator[Finding]:
    """layer_type holds for layers of global attention only; MLA ignores v_bits."""
    bits = _bits(setup) or _bits(setup, "cache_pair")
    if setup.engine != "exllamav3" or bits is None:
        return
    yield Finding(
        Severity.NOTE,
        "Only layers of global attention are quantised.",
        "The cache's layer_type does not reach sliding-window or recurrent layers, so such models save less.",
        setup.evidence("cache_mode", "layer_type"),
        None,
        "exllamav3 1.6.5 cache/cache.py docstring",
    )
    if bits[0] != bits[1]:
        yield Finding(
            Severity.NOTE,
            "If the model has multi-head latent attention, the V bits are ignored.",
            "Its latent is stored with the K bits, the rope key in fp16.",
            setup.evidence("cache_mode", "cache_pair", "model"),
            None,
            "exllamav3 1.6.5 cache/mla.py:61, mla_attn.py:314-327",
        )


def old_backend(setup: Setup) -> Iterator[Finding]:
    """TabbyAPI has only the exllamav3 back end left."""
    value = (setup.value("backend") or "").lower()
    if setup.engine == "exllamav3" and value not in {"", "exllamav3", "auto", "none"}:
        yield Finding(
            Severity.PROBLEM,
            f"TabbyAPI has no back end {value!r} any more.",
            "Only exllamav3 remains.",
            setup.evidence("backend"),
            changed(setup, {"backend": "exllamav3"}),
            "TabbyAPI e632af41",
        )

"""The table of rules. A rule reads a Setup and yields Findings; adding one is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from kvassay.doctor.rules import cache, exllama, place, quality, servers, start, wrappers
from kvassay.doctor.setup import Finding, Setup

Rule = Callable[[Setup], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    start.unknown_type,
    start.v_needs_flash_attention,
    start.flash_attention_value,
    start.grok_quantised_v,
    start.head_dimension,
    start.mla_unequal,
    start.tensor_split_quantised,
    start.typographic_marks,
    start.joined_flags,
    start.removed_flags,
    start.number_cut_short,
    start.env_overridden,
    start.repeated_flags,
    start.context_zero,
    start.fit_without_effect,
    start.fit_keeps_types,
    place.attention_on_cpu,
    place.slow_on_gpu,
    place.no_vector_kernel,
    place.placement_unknown,
    place.device_unknown,
    place.flash_attention_lost,
    place.many_splits,
    place.probe_skipped,
    cache.draft_cache,
    cache.parallel_auto,
    cache.slots_divide_context,
    cache.log_hides_cache,
    cache.log_without_cache,
    cache.http_hides_types,
    cache.build_unnamed,
    cache.window_saves_less,
    cache.recurrent_state,
    cache.latent_has_no_v,
    cache.scratch,
    quality.low_precision_k,
    quality.rotation_disabled,
    quality.rotation_off_in_log,
    quality.rotation_and_deepseek4,
    quality.ik_rotation,
    quality.ik_deepseek4,
    quality.engine_build_unknown,
    wrappers.ollama_unchecked,
    wrappers.ollama_one_value,
    wrappers.ollama_flash_attention,
    wrappers.ollama_client_env,
    wrappers.ollama_env_missing,
    wrappers.ollama_inherited,
    wrappers.ollama_context,
    wrappers.koboldcpp_quantkv,
    wrappers.lmstudio_flash_attention,
    wrappers.lmstudio_python,
    wrappers.lmstudio_mlx,
    wrappers.python_numbers,
    wrappers.python_flash_attention,
    exllama.cache_mode_form,
    exllama.few_bits_of_k,
    exllama.few_bits_of_v,
    exllama.odd_bits,
    exllama.q6_differs,
    exllama.cache_size_pages,
    exllama.draft_cache_mode,
    exllama.draft_same_bits,
    exllama.global_layers_only,
    exllama.old_backend,
    servers.unknown_dtype,
    servers.vllm_scales,
    servers.vllm_calculate_scales,
    servers.vllm_backend,
    servers.vllm_backend_variable,
    servers.vllm_turboquant,
    servers.sglang_hardware,
)


def examine(setup: Setup) -> tuple[Finding, ...]:
    """All findings of a set-up, the worst first; each knows its rule and the set-up's label."""
    found = [
        replace(finding, rule=rule.__name__.replace("_", "-"), label=setup.label)
        for rule in RULES
        for finding in rule(setup)
    ]
    return tuple(sorted(found, key=lambda one: -one.severity))

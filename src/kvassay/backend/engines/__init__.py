"""Engines that kvassay attaches to: one file each, one line here to add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kvassay.backend.engine import Engine
from kvassay.backend.engines.ik_llama import IkLlama
from kvassay.backend.engines.koboldcpp import Koboldcpp
from kvassay.backend.engines.llama_cpp_python import LlamaCppPython
from kvassay.backend.engines.lmstudio import LmStudio
from kvassay.backend.engines.ollama import Ollama
from kvassay.backend.engines.sglang import Sglang
from kvassay.backend.engines.tabbyapi import Tabby
from kvassay.backend.engines.vllm import Vllm

ENGINES: Mapping[str, Callable[[], Engine]] = MappingProxyType(
    {
        "ik_llama.cpp": IkLlama,
        "koboldcpp": Koboldcpp,
        "llama-cpp-python": LlamaCppPython,
        "lmstudio": LmStudio,
        "ollama": Ollama,
        "sglang": Sglang,
        "tabbyapi": Tabby,
        "vllm": Vllm,
    }
)

"""The table of back ends as data: what each one is, what it needs, and what can be measured through it. Pure.

A new back end adds one row here and its factory in ``backend/__init__.py``. Cells are words for a table of 80 columns;
``docs/engines.md`` says the same at length, and ``tests/backend/test_catalog.py`` holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Reach = Literal["started", "attached", "in process"]
Proof = Literal["real", "recorded", "source"]


@dataclass(frozen=True, slots=True)
class Row:
    """One back end.

    ``reach``: kvassay starts it, the user's own server is asked (or started by ``--serve``), or it runs in kvassay's
    process. ``package`` and ``program`` are what has to be there (a Python distribution; a command on PATH).
    ``raw``, ``logprobs``, ``read_back``, ``memory`` and ``reuse`` say how each is had. ``token_ids``: log-probabilities
    come by token id, so that answers can be compared token by token; ``whole``: of any token asked for. ``proof``:
    tested against the real engine ("real"), against answers recorded from it ("recorded"), or against answers written
    from its source ("source").
    ``usage`` are command lines to paste.
    """

    name: str
    what: str
    reach: Reach
    raw: str
    logprobs: str
    read_back: str
    memory: str
    reuse: str
    proof: Proof
    usage: tuple[str, ...]
    package: str | None = None
    program: str | None = None
    reference: str = "f16/f16"
    token_ids: bool = True
    whole: bool = False
    pen: bool = True  # renders and tokenises prompts itself; otherwise --tokenizer is needed
    apart: bool = True  # K and V can have different types
    by_layer: bool = False  # a layer can have types of its own
    clean: str | None = None  # the half that isn't varied, where the reference's type can't stand beside another
    computed: bool = False  # formats are computed, no engine stores them: nothing to recommend


_PEN = "--tokenizer model.gguf"


def _attach(name: str, pair: str, port: int, more: str = "") -> str:
    reference = "auto" if "fp8" in pair else "f16"
    words = ["kvassay run MODEL --backend", name, f"--attach {reference}=http://127.0.0.1:{port}",
             f"--attach {pair}=http://127.0.0.1:{port + 1}", more]  # fmt: skip
    return " ".join(filter(None, words))


def _serve(name: str, command: str, port: int, pair: str, more: str = "") -> str:
    words = [
        "kvassay run MODEL --backend",
        name,
        f"--serve '{command}' --url http://127.0.0.1:{port} --kv {pair}",
        more,
    ]
    return " ".join(filter(None, words))


_ROWS = (
    Row("embedded", "llama.cpp inside kvassay's own package", "started",
        "yes", "yes", "log", "yes", "counted", "real",
        ("kvassay run model.gguf --kv q8_0/q4_0",), package="xllamacpp"),
    Row("llama-server", "your own llama-server binary", "started",
        "yes", "yes", "log", "yes", "counted", "real",
        ("kvassay run model.gguf --server /path/to/llama-server --kv q8_0/q4_0",), program="llama-server"),
    Row("attach", "a llama-server that runs already", "attached",
        "yes", "yes", "by you", "no", "counted", "real",
        ("kvassay run --attach f16/f16=http://127.0.0.1:8080 --attach q8_0/q8_0=http://127.0.0.1:8081",)),
    Row("transformers", "any Hugging Face model, no server", "in process",
        "yes", "yes", "computed", "yes", "counted", "real",
        ("kvassay run MODEL_FOLDER --backend transformers --kv q4_0/f16",
         "kvassay run model.gguf --backend transformers --kv 4/4 --k-layers 0-3=f16"),
        package="transformers", by_layer=True, computed=True, whole=True),
    Row("exllamav3", "ExLlamaV3 on a CUDA card, no server", "in process",
        "yes", "yes", "layers", "yes", "counted", "real",
        ("kvassay run MODEL_FOLDER --backend exllamav3 --kv 8/4",
         "kvassay run MODEL_FOLDER --backend exllamav3 --kv 4/4"),
        package="exllamav3", clean="8", whole=True),
    Row("ik_llama.cpp", "ik_llama.cpp's llama-server", "attached",
        "yes", "no", "log", "log", "counted", "source",
        (_serve("ik_llama.cpp", "llama-server -m model.gguf -c 16384 -ctk {k} -ctv {v} --jinja", 8080, "q8_0/q6_0"),
         _attach("ik_llama.cpp", "q8_0/q6_0", 8080)), token_ids=False),
    Row("llama-cpp-python", "llama-cpp-python's server", "attached",
        "yes", "no", "log", "log", "not told", "recorded",
        (_serve("llama-cpp-python", "python -m llama_cpp.server --model model.gguf --n_ctx 16384 "
                "--type_k {k} --type_v {v} --flash_attn True", 8000, "q8_0/q4_0", _PEN),
         _attach("llama-cpp-python", "q8_0/q4_0", 8000, _PEN)),
        package="llama-cpp-python", token_ids=False, pen=False),
    Row("koboldcpp", "koboldcpp", "attached",
        "yes", "no", "log", "log", "not told", "source",
        (_serve("koboldcpp", "koboldcpp --model model.gguf --contextsize 16384 --quantkv {k} --flashattention", 5001,
                "q4_0", _PEN),
         _attach("koboldcpp", "q4_0", 5001, _PEN)), program="koboldcpp", token_ids=False, pen=False, apart=False),
    Row("ollama", "Ollama", "attached",
        "yes", "no", "log", "log", "not told", "source",
        (_serve("ollama", "env OLLAMA_KV_CACHE_TYPE={k} OLLAMA_CONTEXT_LENGTH=16384 ollama serve", 11434,
                "q8_0", _PEN),
         _attach("ollama", "q8_0", 11434, _PEN)), program="ollama", token_ids=False, pen=False, apart=False),
    Row("lmstudio", "LM Studio's server", "attached",
        "yes", "no", "by you", "no", "not told", "source",
        (_attach("lmstudio", "q8_0/q4_0", 1234, _PEN),), program="lms", token_ids=False, pen=False),
    Row("tabbyapi", "TabbyAPI with ExLlamaV3", "attached",
        "yes", "no", "/v1/model", "no", "if told", "source",
        (_serve("tabbyapi", "python main.py --cache-mode {k},{v}", 5000, "8/4", "--tokenizer models/MODEL"),
         _attach("tabbyapi", "8/4", 5000, "--tokenizer models/MODEL")), token_ids=False, pen=False),
    Row("vllm", "vLLM's OpenAI server", "attached",
        "yes", "yes", "/metrics", "no", "if told", "source",
        (_serve("vllm", "vllm serve MODEL --port 8000 --kv-cache-dtype {k} --enable-tokenizer-info-endpoint "
                "--enable-prompt-tokens-details", 8000, "fp8"),
         _attach("vllm", "fp8", 8000)), program="vllm", reference="auto/auto", apart=False),
    Row("sglang", "SGLang's server", "attached",
        "yes", "yes", "/server_info", "no", "counted", "source",
        (_serve("sglang", "python -m sglang.launch_server --model-path MODEL --kv-cache-dtype {k}", 30000,
                "fp8_e5m2", "--dialect hermes"),
         _attach("sglang", "fp8_e5m2", 30000, "--dialect hermes")),
        package="sglang", reference="auto/auto", apart=False),
)  # fmt: skip

CATALOG: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})
"""The back ends by name, in the order in which they are listed."""

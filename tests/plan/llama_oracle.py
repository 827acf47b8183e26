"""Ask the embedded llama.cpp what a context takes, without a GPU, weights or tensor data. Runs as a child process.

It calls the C API inside xllamacpp's extension: a model is made from the header alone (``no_alloc``), then one context
per case, and ``llama_get_memory_breakdown`` gives its bytes. One JSON case a line comes in on stdin, one answer a
line goes out. Where llama.cpp aborts, the process dies with it and the caller sees no answer.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path

import xllamacpp

TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
NO_ALLOC, SWA_FULL, UNIFIED = 76, 140, 141  # offsets in llama_model_params and llama_context_params
FLASH = {"auto": -1, "off": 0, "on": 1}


class Opaque(ctypes.Structure):
    """A parameter struct by value, longer than any version of it: llama.cpp reads its beginning."""

    _fields_ = (("raw", ctypes.c_ubyte * 512),)

    def put(self, code: type[ctypes._SimpleCData], offset: int, value: int) -> None:  # type: ignore[type-arg]
        """Write one field."""
        code.from_buffer(self.raw, offset).value = value


class InitParams(ctypes.Structure):
    """gguf_init_params."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


LOG: list[str] = []
LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
SET_TENSOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
listen = LOG_CALLBACK(lambda _level, text, _data: LOG.append(text.decode("utf-8", "replace")))
leave = SET_TENSOR(lambda _tensor, _data: None)

lib = ctypes.CDLL(next(str(path) for path in Path(xllamacpp.__file__).parent.glob("*.so")))
lib.gguf_init_from_file.restype = ctypes.c_void_p
lib.gguf_init_from_file.argtypes = [ctypes.c_char_p, InitParams]
lib.llama_model_default_params.restype = Opaque
lib.llama_context_default_params.restype = Opaque
lib.llama_model_init_from_user.restype = ctypes.c_void_p
lib.llama_model_init_from_user.argtypes = [ctypes.c_void_p, SET_TENSOR, ctypes.c_void_p, Opaque]
lib.llama_init_from_model.restype = ctypes.c_void_p
lib.llama_init_from_model.argtypes = [ctypes.c_void_p, Opaque]
lib.llama_free.argtypes = [ctypes.c_void_p]
lib.llama_n_ctx.argtypes = [ctypes.c_void_p]
lib.llama_n_ctx.restype = ctypes.c_uint32
breakdown = lib._Z26llama_get_memory_breakdownPK13llama_context
breakdown.restype = Opaque
breakdown.argtypes = [ctypes.c_void_p]


def nodes(address: int) -> list[int]:
    """The nodes of a std::map's tree (libstdc++: colour, parent, left, right, value)."""
    if not address:
        return []
    left, right = (ctypes.c_uint64.from_address(address + offset).value for offset in (16, 24))
    return [*nodes(left), address, *nodes(right)]


def context_bytes(context: int) -> int:
    """The "context" column of the breakdown, over all buffer types."""
    root = ctypes.c_uint64.from_buffer(breakdown(context).raw, 16).value
    return sum(ctypes.c_uint64.from_address(node + 32 + 8 + 8).value for node in nodes(root))


def answer(model: int, case: dict[str, object]) -> dict[str, object]:
    """Make one context and measure it."""
    params = lib.llama_context_default_params()
    for offset, key in ((0, "context"), (8, "ubatch"), (12, "parallel")):
        params.put(ctypes.c_uint32, offset, int(case[key]))  # type: ignore[call-overload]
    params.put(ctypes.c_uint32, 16, int(case.get("draft", 0)))  # type: ignore[call-overload]
    params.put(ctypes.c_int32, 36, int(bool(case.get("mtp"))))
    params.put(ctypes.c_int32, 52, FLASH[str(case.get("flash", "auto"))])
    params.put(ctypes.c_int32, 104, TYPES[str(case["k"])])
    params.put(ctypes.c_int32, 108, TYPES[str(case["v"])])
    params.put(ctypes.c_bool, SWA_FULL, bool(case.get("swa_full")))
    params.put(ctypes.c_bool, UNIFIED, bool(case.get("unified")))
    LOG.clear()
    context = lib.llama_init_from_model(model, params)
    if not context:
        return {"refused": "".join(LOG[-3:])}
    recurrent = sum(float(found) for found in re.findall(r"RS buffer size = +([\d.]+) MiB", "".join(LOG)))
    found: dict[str, object] = {
        "n_ctx": lib.llama_n_ctx(context),
        "bytes": context_bytes(context),
        "recurrent_mib": recurrent,
        "log": [line for line in LOG if "size =" in line],
    }
    lib.llama_free(context)
    return found


def say(answer: dict[str, object]) -> None:
    """One line out, at once."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer every case on stdin about the header named by the first argument."""
    lib.llama_log_set(listen, None)
    header = lib.gguf_init_from_file(sys.argv[1].encode(), InitParams(no_alloc=True, ctx=None))
    params = lib.llama_model_default_params()
    params.put(ctypes.c_bool, NO_ALLOC, 1)
    params.put(ctypes.c_bool, NO_ALLOC + 1, 1)
    model = lib.llama_model_init_from_user(header, leave, None, params)
    if not model:
        say({"unloadable": "".join(LOG[-4:])})
        return
    for line in sys.stdin:
        say(answer(model, json.loads(line)))


if __name__ == "__main__":
    main()

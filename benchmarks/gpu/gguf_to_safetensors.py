"""A GGUF file as a Hugging Face folder in float16, for engines that read no GGUF: ExLlamaV3, transformers.

    python benchmarks/gpu/gguf_to_safetensors.py MODEL.gguf FOLDER [--tokenizer OTHER_FOLDER | --tokenizer-only]

Weights are de-quantised and rounded to float16. Needs torch, transformers (5.17 or later), accelerate and gguf; no
network, no GPU. Architectures are those that transformers reads from GGUF (qwen2, llama …).

The tokenizer is checked against the GGUF's own list of special tokens, since older versions of transformers lose some
(5.17: all but three of Qwen2.5's). Where that fails, make the tokenizer's files elsewhere with a later version
(--tokenizer-only) and name their folder with --tokenizer.
"""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}  # read when the libraries are imported

import argparse
import sys
from pathlib import Path

import torch
import transformers
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>")
_CONTROL, _USER_DEFINED = 3, 4
"""``tokenizer.ggml.token_type`` (ggml-org/llama.cpp gguf-py/gguf/constants.py TokenType)."""


def read_tokenizer(gguf: Path, other: Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer of the file, or the one in ``other``. Exits where it isn't the file's."""
    where = {"gguf_file": gguf.name} if other is None else {}
    tokenizer = AutoTokenizer.from_pretrained(other or gguf.parent, local_files_only=True, **where)
    if problem := _unlike(tokenizer, GGUFReader(gguf)):
        sys.exit(f"transformers {transformers.__version__} makes another tokenizer of {gguf.name}: {problem}")
    return tokenizer


def _unlike(tokenizer: PreTrainedTokenizerBase, reader: GGUFReader) -> str | None:
    """How the tokenizer differs from the GGUF's metadata; None where nothing was found."""
    fields = reader.fields
    texts, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type"))
    wanted = {at: texts[at] for at, kind in enumerate(kinds) if kind in (_CONTROL, _USER_DEFINED)}
    padding = {at for at, text in wanted.items() if text.startswith("[PAD")}  # rows without a token
    found = {at: token.content for at, token in tokenizer.added_tokens_decoder.items()}
    lost = {at: text for at, text in wanted.items() if at not in padding and found.get(at) != text}
    if lost:
        return f"it lacks the special tokens {', '.join(lost.values())}"
    ends = fields["tokenizer.ggml.eos_token_id"].contents()
    if tokenizer.eos_token_id != ends:
        return f"it ends with {tokenizer.eos_token_id}, the file with {ends}"
    return None if tokenizer.chat_template else "it has no chat template"


def write_model(gguf: Path, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """config.json, generation_config.json and model.safetensors. Exits where a weight doesn't fit float16."""
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True, dtype=torch.float16, **_dense()
    )
    model.config.architectures = [type(model).__name__]
    model.config.eos_token_id, model.config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
    vocabulary = tokenizer.get_vocab()
    ends = [tokenizer.eos_token_id, *(vocabulary[text] for text in _ENDS if text in vocabulary)]
    model.generation_config = GenerationConfig(eos_token_id=list(dict.fromkeys(ends)))
    for name, tensor in model.state_dict().items():
        if tensor.dtype != torch.float16 or not torch.isfinite(tensor).all():
            sys.exit(f"{name} is {tensor.dtype}, or does not fit float16")
    model.save_pretrained(folder)


def _dense() -> dict[str, object]:
    """Later versions of transformers keep a GGUF file's weights packed unless told otherwise; earlier ones can't."""
    packed = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": packed(dequantize=True)} if packed else {}


def main() -> None:
    """Convert, and list what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="take the tokenizer from here")
    parser.add_argument("--tokenizer-only", action="store_true", help="write the tokenizer's files alone")
    given = parser.parse_args()
    tokenizer = read_tokenizer(given.gguf, given.tokenizer)
    given.folder.mkdir(parents=True, exist_ok=True)
    if not given.tokenizer_only:
        write_model(given.gguf, given.folder, tokenizer)
    tokenizer.save_pretrained(given.folder)
    for file in sorted(given.folder.iterdir()):
        print(f"{file.stat().st_size:>14,} {file}")


if __name__ == "__main__":
    main()

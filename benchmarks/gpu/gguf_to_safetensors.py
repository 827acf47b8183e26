"""Makes the Hugging Face folder that ExLlamaV3 and transformers read from a GGUF file, weights as float16.

    python3 benchmarks/gpu/gguf_to_safetensors.py MODEL.gguf FOLDER

The weights are the GGUF's, de-quantised: the folder holds the same model as llama.cpp runs, rounded to float16. Needs
torch, transformers and gguf; nothing is fetched.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

import torch
import transformers
from gguf import GGUFReader
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


def convert(source: Path, folder: Path) -> None:
    """Write config.json, generation_config.json, the tokenizer with its chat template, and model.safetensors."""
    transformers.utils.logging.set_verbosity_error()
    named = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **named)
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float16, **named)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _complete(folder, {"architectures": [type(model).__name__], "eos_token_id": _end_of_turn(source)})


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Every tensor as float16; the output layer only where it is not the embedding's own memory."""
    tied = model.config.tie_word_embeddings
    held = {name: tensor for name, tensor in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    return {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in held.items()}


def _end_of_turn(source: Path) -> int | None:
    field = GGUFReader(source).fields.get("tokenizer.ggml.eos_token_id")
    return int(field.contents()) if field else None


def _complete(folder: Path, known: dict[str, object]) -> None:
    """What converted configurations leave out, the GGUF's own end of turn among it; and no word of a quantised file."""
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        if file.is_file():
            told = {**json.loads(file.read_text()), **known, "dtype": "float16"}
            told.pop("quantization_config", None)
            file.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004  itself, source, folder
        sys.exit(__doc__)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

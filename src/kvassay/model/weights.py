"""How large a model's weights are, by the place the loader gives them: from the tensor table, never from the data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvassay.model.gguf import GGUFHeader, TensorInfo
from kvassay.model.shape import Weights

_BLOCK = re.compile(r"blk\.(\d{1,4})\.")
_EXPERT = re.compile(r"_exps\b")
_EMBEDDINGS = "token_embd.weight"
_INPUTS = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")


def weights_of(header: GGUFHeader, n_layers: int) -> Weights | None:
    """The weights of a file by layer, input and output; None where the header lists no tensors."""
    return tally(header.tensors, n_layers) if header.tensors else None


def tally(tensors: Sequence[TensorInfo], n_layers: int) -> Weights:
    """Sum tensors by place as ``load_tensors`` does: the input on the host, the output with the last layer."""
    layers, experts = [0] * n_layers, [0] * n_layers
    inputs = outputs = tied = 0
    for tensor in tensors:
        size = tensor.n_bytes or 0
        block = _BLOCK.match(tensor.name)
        if block is not None and int(block[1]) < n_layers:
            layers[int(block[1])] += size
            experts[int(block[1])] += size if _EXPERT.search(tensor.name) else 0
        elif tensor.name.startswith(_INPUTS):
            inputs += size
            tied = size if tensor.name == _EMBEDDINGS else tied
        else:
            outputs += size
    separate = any(tensor.name == "output.weight" for tensor in tensors)
    return Weights(
        layers=tuple(layers),
        input_bytes=inputs,
        output_bytes=outputs,
        tied_bytes=0 if separate else tied,
        expert_bytes=tuple(experts),
        complete=all(tensor.n_bytes is not None for tensor in tensors),
    )

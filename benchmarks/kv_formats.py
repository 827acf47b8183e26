"""What each cache format does to a real model's K and V: python benchmarks/kv_formats.py MODEL [TOKENS]

MODEL is a Hugging Face folder or a GGUF file; the text is Python's own json/decoder.py. An error is the root mean
square of (read back − written), over the standard deviation of K or V around its mean per channel: a constant offset of
a channel of K changes no attention weight, so that error beside it is what matters. Median, and worst, over layers and
heads.
"""

from __future__ import annotations

import inspect
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kvassay.backend.transformers.boot import TransformersMind, open_boot
from kvassay.backend.transformers.load import Loaded, load
from kvassay.quant.base import F32
from kvassay.quant.table import FORMATS, k_round_trip, v_round_trip
from kvassay.types import KVConfig


def states(loaded: Loaded, tokens: int) -> Iterator[tuple[F32, F32]]:
    """K and V of each layer, heads × tokens × head dimension, as the model computes them without any rounding."""
    with open_boot(loaded, KVConfig("f32", "f32"), tokens) as boot:
        boot.prefill(boot.tokenize(inspect.getsource(json.decoder))[:tokens])
        assert isinstance(boot.mind, TransformersMind)  # noqa: S101  what transformers opens
        for layer in boot.mind.held.cache.layers:
            yield layer.keys[0].float().cpu().numpy(), layer.values[0].float().cpu().numpy()


def errors(written: F32, read: F32) -> F32:
    """One number a head."""
    spread = (written - written.mean(axis=1, keepdims=True)).std(axis=(1, 2))
    return np.sqrt(((read - written) ** 2).mean(axis=(1, 2))) / spread


def row(name: str, layers: Sequence[tuple[F32, F32]], *, rotation: bool) -> str:
    """A format's line of the table."""
    one, cells = FORMATS[name], []
    for side, through in ((0, k_round_trip), (1, v_round_trip)):
        turn = through(one, layers[0][side].shape[-1], rotation=rotation)
        found = np.concatenate([errors(layer[side], turn(layer[side])) for layer in layers])
        cells += [f"{np.median(found):.4f}", f"{found.max():.4f}"]
    turned = f"{name} rotated" if rotation else name
    return f"| {turned} | {one.bits:g} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    path, tokens = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1024  # noqa: PLR2004 - an argument
    loaded = load(path, device=None, dtype="float32", threads=None)
    layers = list(states(loaded, tokens))
    print(f"{path.name}, {layers[0][0].shape[1]} tokens, {len(layers)} layers, {loaded.build}, {platform.machine()}\n")
    for half, side in (("K", 0), ("V", 1)):
        offset = [
            np.abs(one[side].mean(axis=1)).max(axis=1) / (one[side] - one[side].mean(axis=1, keepdims=True)).std((1, 2))
            for one in layers
        ]
        print(f"{half}: largest channel mean over spread: median {np.median(offset):.1f}, worst {np.max(offset):.1f}")
    print("\n| format | bits | K median | K worst | V median | V worst |\n|---|---|---|---|---|---|")
    for name, one in FORMATS.items():
        print(row(name, layers, rotation=False))
        if one.rotates:
            print(row(name, layers, rotation=True))


if __name__ == "__main__":
    main()

"""The contract of a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Format:
    """One cache format. ``round_trip`` takes K or V with the head dimension last, and gives what is read back.

    ``bits`` are those of one value, scales included; ``block`` values of the head dimension share their scales, so that
    the head dimension must be a multiple of it. ``rotates`` marks the formats that llama.cpp stores rotated.
    """

    name: str
    source: str
    bits: float
    round_trip: Callable[[F32], F32]
    block: int = 1
    rotates: bool = False

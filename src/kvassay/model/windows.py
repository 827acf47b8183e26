"""Which layers see a sliding window only, and how wide it is."""

from __future__ import annotations

from typing import NamedTuple

from kvassay.model.architectures import Window, Windowed
from kvassay.model.reading import Reading

_KEY = "attention.sliding_window"


class Windows(NamedTuple):
    """The window in tokens, and which layers it holds for; 0 and none where nothing slides."""

    size: int
    layers: tuple[bool, ...]


def windows_of(reading: Reading) -> Windows:
    """Read the window and its layers. Raises ModelFileError for a pattern that can't be."""
    window, keys = reading.rule.window, reading.keys
    if window is None or window.only_layers not in (None, reading.depth.trunk):
        return Windows(0, reading.none)
    size = keys.u32(_KEY, None if window.needed else window.size)
    off = window.when is Windowed.IF_SIZED or (window.when is Windowed.UNLESS_ZERO and keys.has(_KEY))
    if off and size == 0:
        return Windows(0, reading.none)
    layers = _layers(reading, window)
    if not any(layers):
        raise keys.bad("it has a sliding window that no layer uses")
    return Windows(window.fixed or size, layers)


def _layers(reading: Reading, window: Window) -> tuple[bool, ...]:
    if reading.architecture == "lfm2":
        return tuple(
            inside and not recurrent for inside, recurrent in zip(reading.trunk, reading.recurrent, strict=True)
        )
    if reading.architecture == "deepseek4" or reading.keys.u32("hyper_connection.count", 0):
        return (True,) * reading.depth.all
    return _pattern(reading, window)


def _pattern(reading: Reading, window: Window) -> tuple[bool, ...]:
    """``load_swa_pattern``: an array in the file, else one global layer of so many."""
    key, depth = f"{_KEY}_pattern", reading.depth
    if reading.keys.has_list(key) or window.every is None:
        listed = reading.keys.listed(key, (depth.all, depth.trunk))
        return (*(bool(each) for each in listed), *(False,) * (depth.all - len(listed)))
    every = reading.keys.u32(key, window.every)
    return tuple(inside and _slides(il, every, window) for il, inside in enumerate(reading.trunk))


def _slides(il: int, every: int, window: Window) -> bool:
    """``llama_hparams::set_swa_pattern`` for one layer."""
    if every == 0:
        return True
    return il % every != 0 if window.dense_first else il % every < every - 1

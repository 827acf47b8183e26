"""A Hugging Face folder's ``config.json``."""

from __future__ import annotations

import json
from pathlib import Path

from kvassay.errors import ModelFileError
from kvassay.types import JsonObject

MAX_CONFIG_BYTES = 4 << 20


def read_config(folder: Path) -> JsonObject:
    """What ``config.json`` says; of models that also see or hear, the language model's own numbers before the rest's.

    Raises ModelFileError where there is none that can be read.
    """
    path = folder / "config.json"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        config = json.loads(raw) if len(raw) <= MAX_CONFIG_BYTES else None
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{str(folder)!r} is a folder without config.json.",
            hint="Name a GGUF file, or a Hugging Face or EXL3 folder.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{str(path)!r} can't be read: {error}.", hint="Download it again.") from error
    if not isinstance(config, dict):
        raise ModelFileError(f"{str(path)!r} is no JSON object of at most {MAX_CONFIG_BYTES:,} bytes.")
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config

"""Foreign JSON and YAML read safely: plain values only, hostile nesting refused."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TypeAlias

import yaml

from kvassay.errors import ConfigError

MAX_CHARS = 1 << 18  # a configuration or script is far smaller; a log or a novel may not be

Document: TypeAlias = "dict[object, object]"


def json_document(text: str) -> Document | None:
    """The object in a JSON text, None where it is none. Raises ConfigError where it is nested too deeply."""
    if len(text) > MAX_CHARS or not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    except RecursionError as error:
        raise ConfigError("the JSON is nested too deeply to be a configuration") from error
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=1)  # several readers look at one file in turn
def yaml_document(text: str) -> Document | None:
    """The mapping in a YAML text, None where it is none. Raises ConfigError where it is nested too deeply."""
    if len(text) > MAX_CHARS:
        return None
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None
    except RecursionError as error:
        raise ConfigError("the YAML is nested too deeply to be a configuration") from error
    return found if isinstance(found, dict) else None

"""What the engines in kvassay's own process share: the boot, its words, its answers. Each brings model and cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from kvassay.errors import ConfigError


def require_installed(engine: str, packages: Iterable[str]) -> None:
    """Raise ConfigError that names what `pip install` brings, where a package is missing."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ConfigError(
            f"the back end {engine} needs {' and '.join(missing)}, not installed here",
            hint=f"Install it: pip install 'kvassay[{engine}]'",
        )


def stay_offline() -> None:
    """Set what Hugging Face's libraries read when they are imported: nothing may leave the machine, and progress is
    shown by the listener.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

"""What the engines in kvassay's own process share: the boot, its words, its answers. Each brings model and cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from kvassay.errors import ConfigError
from kvassay.extras import install_line


def require_installed(who: str, packages: Iterable[str], extra: str) -> None:
    """Raise ConfigError that names what `pip install` brings, where a package is missing that ``who`` needs."""
    if missing := [name for name in packages if not _is_there(name)]:
        raise ConfigError(
            f"{who} needs {' and '.join(missing)}, not installed here",
            hint=f"Install it: {install_line(extra)}",
        )


def _is_there(module: str) -> bool:
    """Whether a module can be imported; of ``optimum.quanto`` the parent may be missing, or another one's."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def stay_offline() -> None:
    """Set what Hugging Face's libraries read when they are imported: nothing may leave the machine, and progress is
    shown by the listener.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

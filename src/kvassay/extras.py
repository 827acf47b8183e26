"""How an optional part is installed beside the kvassay that runs here."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_line(*extras: str) -> str:
    """The command that adds ``extras``: to the package's name, or to the folder that kvassay was installed from, as
    pip notes it (PEP 610).
    """
    where, editable = _source()
    return f"pip install {'-e ' if editable else ''}'{where}[{','.join(extras)}]'"


def _source() -> tuple[str, bool]:
    try:
        note = distribution("kvassay").read_text("direct_url.json")
    except PackageNotFoundError:
        note = None
    told = json.loads(note) if note else {}
    if "dir_info" not in told:
        return "kvassay", False
    return url2pathname(urlsplit(told["url"]).path), bool(told["dir_info"].get("editable"))

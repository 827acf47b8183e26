"""Reports: what a run found, in the terminal, as JSON and as one HTML file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kvassay.errors import StoreError
from kvassay.report.html import render_html
from kvassay.report.json_report import to_json
from kvassay.report.source import RunSource
from kvassay.report.terminal import print_report
from kvassay.report.view import View, build_view
from kvassay.verdict import Verdict

__all__ = ["Paths", "RunSource", "View", "build_view", "print_report", "write_file", "write_reports"]


class Paths(NamedTuple):
    """Where a run's reports lie."""

    html: Path
    json: Path


def write_reports(run: RunSource, verdict: Verdict, out_dir: Path, *, view: View | None = None) -> Paths:
    """Write ``report.html`` and ``report.json`` into ``out_dir``, made if need be; each appears whole or not at all.

    ``view`` spares counting the run again where the caller has built it. Raises StoreError where nothing can be
    written there.
    """
    view = view or build_view(run, verdict)
    paths = Paths(out_dir / "report.html", out_dir / "report.json")
    write_file(paths.json, [to_json(view)])
    write_file(paths.html, render_html(run, view))
    return paths


def write_file(path: Path, pieces: Iterable[str]) -> None:
    """Write beside the place and move there. Lone surrogates, which models do emit, become character references."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file:
            file.writelines(pieces)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"the report {str(path)!r} can't be written: {error.strerror}",
            hint="Free some space or choose another folder; the run itself is safe in its store.",
        ) from error
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)

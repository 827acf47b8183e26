"""Reading one JSON document piece by piece: what every importer of documents does alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kvassay.session.pieces import Piece, pieces
from kvassay.session.transcript import Oddity


def read_pieces(path: Path) -> Iterator[Piece | Oddity]:
    """The document's pieces; where it breaks off, one oddity says so. Raises OSError."""
    last = "the beginning"
    with path.open(encoding="utf-8-sig", errors="replace") as text:
        stream = pieces(text)
        while True:
            try:
                piece = next(stream)
            except StopIteration:
                return
            except ValueError as error:
                yield Oddity("damaged", f"document: {error}", f"after {last}")
                return
            last = piece.place
            yield piece

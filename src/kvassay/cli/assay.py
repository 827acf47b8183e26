"""What `run` and `demo` share: from settings to a finished run and its reports."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from rich.console import Console

from kvassay import backend as backends
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample, check_room
from kvassay.assay.prepare import Questions, questions_of
from kvassay.assay.recorded import context_for
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Interrupted, Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Backend
from kvassay.backend.engaged import refuse_early
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.cli.models import download_progress
from kvassay.cli.progress import RunProgress
from kvassay.cli.stopping import StopOnRequest
from kvassay.errors import BackendError, ConfigError, KvassayError, StoreError
from kvassay.model.resolve import ModelFile, resolve
from kvassay.report import View, build_view, print_report, write_reports
from kvassay.settings import RunSettings

STORE_NAME = "kvassay.sqlite"


class Stopped(KvassayError):
    """The user stopped the run; everything measured is kept."""

    exit_code = 130


def perform(
    settings: RunSettings,
    *,
    store_path: Path,
    out: Path,
    resume: bool,
    keep_going: bool,
    console: Console,
    command: str = "run",
) -> View:
    """Check everything that can be checked without a server, the cheap first; then run, then report.

    ``console`` is where the verdict goes; progress and notices go to stderr. ``command`` is what goes on with a run
    that was stopped.
    """
    questions = questions_of(settings, stored=resume)
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
        settings = _with_context(settings, questions, sample)
        check_room(settings, questions, sample.trained_tokens)
        backend = _backend(settings, model, out)
        with StopOnRequest() as stop, RunProgress(told) as progress:
            job = Job(settings, backend, sample, arms, questions, store, progress, stop, keep_going)
            finished = _run(job, stored, out, command)
        return report(finished, out, console)


def _run(job: Job, stored: StoredRun | None, out: Path, command: str) -> StoredRun:
    runs_before = len(job.store.runs())

    def kept() -> str:
        begun = stored is not None or len(job.store.runs()) > runs_before
        return _kept(job.store, out, command) if begun else ""

    try:
        return run(job, resume=stored)
    except (Interrupted, KeyboardInterrupt):
        raise Stopped("stopped", hint=kept() or "No trial had ended yet.") from None
    except BackendError as error:
        error.hint = "\n".join(filter(None, (error.hint, kept())))
        raise


def _with_context(settings: RunSettings, questions: Questions, sample: Sample) -> RunSettings:
    """A replay's context is fixed before its first server starts, and stored: a session may grow meanwhile."""
    if questions.recorded is None or settings.context is not None:
        return settings
    context = context_for(settings, questions.recorded, sample.trained_tokens)
    return settings.model_copy(update={"context": context})


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


def _backend(settings: RunSettings, model: ModelFile | None, out: Path) -> Backend:
    return backends.make(
        settings.backend,
        model_path=model.path if model else None,
        model_sha256=model.sha256 if model else None,
        binary=settings.server_binary,
        extra_args=settings.server_args,
        threads=settings.threads,
        flash_attention=settings.flash_attention,
        gpu_layers=settings.gpu_layers,
        port=settings.port,
        log_dir=out / "logs",
    )


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


def _kept(store: Store, out: Path, name: str) -> str:
    stored = store.unfinished()
    done = len(stored.done()) if stored else 0
    command = ["kvassay", name, "--resume", "--out", str(out)]
    if store.path != out / STORE_NAME:
        command += ["--store", str(store.path)]
    return f"{done} finished trials are kept. Go on with: {shlex.join(command)}"

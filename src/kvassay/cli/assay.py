"""What `run` and `demo` share: from settings to a finished run and its reports."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from kvassay import backend as backends
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample, check_room
from kvassay.assay.prepare import questions_of
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Interrupted, Job, run
from kvassay.assay.store import Store, StoredRun
from kvassay.backend.base import Backend
from kvassay.cli.models import download_progress
from kvassay.cli.progress import RunProgress
from kvassay.cli.stopping import StopOnRequest
from kvassay.errors import ConfigError, KvassayError
from kvassay.model.resolve import ModelFile, resolve
from kvassay.report import build_view, print_report, write_reports
from kvassay.settings import RunSettings

STORE_NAME = "kvassay.sqlite"


class Stopped(KvassayError):
    """The user stopped the run; everything measured is kept."""

    exit_code = 130


def perform(
    settings: RunSettings, *, store_path: Path, out: Path, resume: bool, keep_going: bool, console: Console
) -> StoredRun:
    """Check everything that can be checked without a server, then run, then report."""
    questions = questions_of(settings)
    model = _model(settings)
    backend = _backend(settings, model, out)
    arms = arms_of(settings, backend.cache_types)
    sample = _sample(settings, model)
    check_room(settings, sample.trained_tokens, suite_chars=questions.longest_case_chars)
    with Store(store_path, write=True) as store:
        stored = _unfinished(store, resume=resume, console=console)
        with StopOnRequest() as stop, RunProgress(console) as progress:
            job = Job(settings, backend, sample, arms, questions, store, progress, stop, keep_going)
            try:
                finished = run(job, resume=stored)
            except (Interrupted, KeyboardInterrupt):
                raise Stopped(_kept(store, store_path)) from None
        report(finished, out, console)
        return finished


def report(finished: StoredRun, out: Path, console: Console) -> None:
    """The verdict in the terminal, the reports beside the store."""
    verdict = verdict_of(finished)
    view = build_view(finished, verdict)
    paths = write_reports(finished, verdict, out, view=view)
    print_report(view, console, html=paths.html)


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
        return Sample(settings.model or ", ".join(settings.attach))
    return Sample(model.name, model.sha256, model.header.context_length)


def _unfinished(store: Store, *, resume: bool, console: Console) -> StoredRun | None:
    runs = store.runs()
    open_run = runs[-1] if runs and runs[-1].finished_at is None else None
    if resume:
        if open_run is None:
            raise ConfigError("there is no unfinished run to resume", hint="Start one without --resume.")
        return store.run(open_run.id)
    if open_run is not None:
        console.print(f"Run {open_run.id} in this store is unfinished; --resume goes on with it. Starting a new one.")
    return None


def _kept(store: Store, path: Path) -> str:
    runs = store.runs()
    if not runs:
        return "stopped before the first trial"
    done = len(store.run().done())
    return f"stopped; {done} finished trials are kept. Go on with:\n  kvassay run --resume --store {path}"

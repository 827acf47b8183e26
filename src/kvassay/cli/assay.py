"""What `run`, `demo` and `loops` share: from settings to a finished run and its reports."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from kvassay import backend as backends
from kvassay.assay.arms import arms_of
from kvassay.assay.codec import storable
from kvassay.assay.design import Sample, check_room
from kvassay.assay.events import Observer
from kvassay.assay.prepare import Questions, questions_of
from kvassay.assay.recorded import context_for
from kvassay.assay.records import Manifest
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import PROBES, Job, Method, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.catalog import CATALOG
from kvassay.backend.engaged import refuse_early
from kvassay.backend.engine import without_pen
from kvassay.backend.layers import require_layers
from kvassay.cli.models import download_progress
from kvassay.cli.progress import RunProgress
from kvassay.cli.stopping import StopOnRequest
from kvassay.errors import BackendError, ConfigError, Interrupted, KvassayError, StoreError
from kvassay.executor.base import Executor
from kvassay.executor.local import LOCAL
from kvassay.executor.recipe import Recipe
from kvassay.model.folder import ModelFolder, read_model
from kvassay.model.resolve import ModelFile
from kvassay.report import View, build_view, print_report, write_reports
from kvassay.settings import RunSettings
from kvassay.types import Arm

STORE_NAME = "kvassay.sqlite"

Made = TypeVar("Made")
"""What is made of a finished run: its view."""


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
    command: str = "run",
    executor: Executor = LOCAL,
    flags: Sequence[str] = (),
    watching: Watching | None = None,
) -> View:
    """Ask the probes, judge, report. ``console`` is where the verdict goes; progress and notices go to stderr.
    ``command`` with ``flags`` is what goes on with a run that was stopped.
    """
    return measure(
        settings,
        questions_of(settings, stored=resume),
        Kind((command, *flags), "trials", PROBES, lambda finished: report(finished, out, console)),
        store_path=store_path,
        out=out,
        resume=resume,
        keep_going=keep_going,
        executor=executor,
        watching=watching,
    )


@dataclass(frozen=True, slots=True)
class Kind(Generic[Made]):
    """One kind of run: the ``command`` that makes it, with the flags that no store keeps; what it counts, what it does
    with a boot, and what is made of the finished run.
    """

    command: tuple[str, ...]
    unit: str
    method: Method
    finish: Callable[[StoredRun], Made]


def measure(
    settings: RunSettings,
    questions: Questions,
    kind: Kind[Made],
    *,
    store_path: Path,
    out: Path,
    resume: bool,
    keep_going: bool,
    executor: Executor = LOCAL,
    watching: Watching | None = None,
) -> Made:
    """Check everything that can be checked without a server, the cheap first; then run, then report.
    ``watching`` replaces the progress display and Ctrl-C's handler.
    """
    _check_words()
    settings = executor.fit(settings)
    arms = arms_of(settings, backends.cache_types(settings.backend))
    _check_files(settings)
    _check_apart(settings.backend, arms)
    if CATALOG[settings.backend].reach == "started" and not keep_going:
        for arm in arms:
            refuse_early(arm.kv, settings.flash_attention)
    _check_writable(out)
    told = Console(stderr=True)
    with Store(store_path, write=True) as store:
        model = _model(settings)
        sample = _sample(settings, model)
        settings = _with_context(settings, questions, sample)
        check_room(settings, questions, sample.trained_tokens)
        _check_layers(arms, model)
        stored = _unfinished(store, kind.method, resume=resume, console=told)
        backend = executor.backend(Recipe(settings, model, out.absolute() / "logs"))
        with watching() if watching else _watching(told, kind.unit) as watch:
            job = Job(
                settings,
                backend,
                sample,
                arms,
                questions,
                store,
                watch.observe,
                watch.stop,
                keep_going,
                kind.method,
                executor,
            )
            finished = _run(job, kind, stored, out)
        return kind.finish(finished)


@contextmanager
def _watching(console: Console, unit: str) -> Iterator[Watch]:
    with StopOnRequest() as stop, RunProgress(console, unit=unit) as progress:
        yield Watch(stop, progress)


def _run(job: Job, kind: Kind[Made], stored: StoredRun | None, out: Path) -> StoredRun:
    runs_before = len(job.store.runs())

    def kept() -> str:
        begun = stored is not None or len(job.store.runs()) > runs_before
        return _kept(job.store, kind, out) if begun else ""

    try:
        return run(job, resume=stored)
    except (Interrupted, KeyboardInterrupt):
        raise Stopped("stopped", hint=kept() or "Nothing had ended yet.") from None
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


def _check_layers(arms: Sequence[Arm], model: ModelFile | ModelFolder | None) -> None:
    """Raise ConfigError where an arm names a layer that the model hasn't, as far as its header tells."""
    there = model.n_layers if isinstance(model, ModelFolder) else model.header.block_count if model else None
    if there is not None:
        for arm in arms:
            require_layers((arm.kv.k, arm.kv.v), there)


def _model(settings: RunSettings) -> ModelFile | ModelFolder | None:
    if CATALOG[settings.backend].reach == "attached":
        return None
    if settings.model is None:
        raise ConfigError(
            "no model is named",
            hint="Give a GGUF file, hf:owner/repo/file.gguf, or a name from 'kvassay models'.",
        )
    with download_progress(settings.model) as progress:
        return read_model(settings.model, folder=CATALOG[settings.backend].reach == "in process", progress=progress)


def _sample(settings: RunSettings, model: ModelFile | ModelFolder | None) -> Sample:
    if model is None:
        place = settings.url or settings.attach[0].partition("=")[2]
        return Sample(settings.model or f"the model at {place}")
    trained = model.trained_tokens if isinstance(model, ModelFolder) else model.header.context_length
    return Sample(model.name, model.sha256, trained)


def _check_words() -> None:
    """The manifest keeps the command line, and reports print its paths: both are UTF-8."""
    for word in sys.argv:
        if storable(word) != word:
            raise ConfigError(f"{storable(word)!r} is not UTF-8", hint="Give the file or folder a name that is.")


def _check_files(settings: RunSettings) -> None:
    if settings.tokenizer and not settings.tokenizer.exists():
        raise ConfigError(f"there is no {str(settings.tokenizer)!r} for --tokenizer")
    if not CATALOG[settings.backend].pen and not settings.tokenizer:
        raise without_pen(settings.backend)


def _check_apart(name: str, arms: Sequence[Arm]) -> None:
    unequal = [arm.kv for arm in arms if arm.kv.k != arm.kv.v]
    if unequal and not CATALOG[name].apart:
        raise ConfigError(
            f"{name} has one cache type for K and V, so {unequal[0]} can't be had",
            hint="Judge pairs of equal sides, each against the reference.",
        )


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise StoreError(
            f"nothing can be written to {str(out)!r}: {error.strerror}", hint="Choose another place with --out DIR."
        ) from None


def _unfinished(store: Store, method: Method, *, resume: bool, console: Console) -> StoredRun | None:
    stored = store.unfinished(in_loops=method.in_loops)
    if stored is None or resume:
        return stored
    console.print(
        f"Run {stored.record.id} in this store is unfinished; --resume goes on with it. Starting a new one.",
        highlight=False,
        soft_wrap=True,
    )
    return None


def stored_settings(
    path: Path, what: str = "run", *, in_loops: bool = False, fits: Callable[[Manifest], bool] = lambda _: True
) -> dict[str, object]:
    """The settings of the run that --resume goes on with. Raises ConfigError where the store holds none that ``fits``;
    ``what`` names it.
    """
    with Store(path) as store:
        unfinished = store.unfinished(in_loops=in_loops)
        if unfinished is None or not fits(unfinished.record.manifest):
            raise ConfigError(
                f"{str(path)!r} holds no unfinished {what}: there is nothing to resume",
                hint="Start one without --resume.",
            )
        return dict(unfinished.record.manifest.settings)


def _kept(store: Store, kind: Kind[Made], out: Path) -> str:
    stored = store.unfinished(in_loops=kind.method.in_loops)
    done = kind.method.done(stored) if stored else 0
    name, *flags = kind.command
    command = ["kvassay", name, "--resume", "--out", str(out)]
    if store.path != out / STORE_NAME:
        command += ["--store", str(store.path)]
    command += flags
    return f"{done} finished {kind.unit} are kept. Go on with: {shlex.join(command)}"

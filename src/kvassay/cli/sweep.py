"""`kvassay sweep`: the same question put to several models, one store and report for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from kvassay.assay.design import differences
from kvassay.assay.results import verdict_of
from kvassay.assay.store import Store
from kvassay.backend.catalog import CATALOG
from kvassay.cli.assay import STORE_NAME, Stopped, Watch, perform
from kvassay.cli.executing import Place, executing, place, taken
from kvassay.cli.progress import RunProgress
from kvassay.cli.stopping import StopOnRequest
from kvassay.errors import ConfigError, KvassayError
from kvassay.model.resolve import require_known
from kvassay.probe.suite import load_suite
from kvassay.sweep import Planned, read_sweep

FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What all runs of a sweep share. ``over`` is set by a fault that ends it: what has not begun is left."""

    out: Path
    there: Place
    flags: tuple[str, ...]
    keep_going: bool
    stop: StopOnRequest
    over: threading.Event = field(default_factory=threading.Event)


@click.command(no_args_is_help=True)
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, default=Path("kvassay-sweep"), metavar="DIR", help="A folder a run. [kvassay-sweep]")
@click.option("--keep-going", is_flag=True, help="Leave out pairs whose server fails, and models that can't be run.")
@executing
def sweep(*, file: Path, out: Path, keep_going: bool, **flags: object) -> None:
    """Run FILE's question on several models: pairs, depths and boots of each.

    Type the same command to go on: what is finished stays, what was stopped is resumed. On Ray the runs are under way
    together; here one after the other.

    \b
    models = ["qwen2.5-coder-0.5b", "models/mine.gguf"]
    boots = 2                     # each run twice, with new boots
    pairs = ["q8_0/q8_0", "q4_0/q4_0"]
    depths = "2k,8k"              # and any other setting of a run
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    asked = taken(flags)
    runs = read_sweep(file)
    if not keep_going:
        _check_models(run for run in runs if not _is_finished(out / run.name / STORE_NAME))
    with place(asked) as there, StopOnRequest() as stop:
        faults = _all(runs, _Sweep(out, there, asked.flags, keep_going, stop))
    for fault in faults[:1]:
        raise fault


def _check_models(runs: Iterable[Planned]) -> None:
    """Raise ModelFileError for a model that is not there: hours before its turn would come."""
    for settings in (run.settings for run in runs):
        if settings.model and CATALOG[settings.backend].reach != "attached":
            require_known(settings.model)


def _all(runs: Sequence[Planned], sweep: _Sweep) -> list[KvassayError]:
    """Make every run; the faults of those that could not be made, with --keep-going."""
    if sweep.there.at_once:
        faults = _together(runs, sweep)
    else:  # in the main thread, where a second Ctrl-C breaks off what is under way
        faults = [fault for run in runs for fault in _told(partial(_one, run, sweep), run, sweep)]
    if sweep.stop():
        raise _stopped()
    return faults


def _together(runs: Sequence[Planned], sweep: _Sweep) -> list[KvassayError]:
    faults: list[KvassayError] = []
    with ThreadPoolExecutor(max_workers=len(runs)) as pool:
        ends = {pool.submit(_one, run, sweep): run for run in runs}
        try:
            for end in as_completed(ends):
                faults += _told(end.result, ends[end], sweep)
        except BaseException:
            sweep.over.set()
            sweep.there.halt()
            raise
    return faults


def _told(end: Callable[[], str], run: Planned, sweep: _Sweep) -> list[KvassayError]:
    try:
        headline = end()
    except Stopped:
        raise _stopped() from None
    except KvassayError as error:
        if not sweep.keep_going:
            raise
        click.echo(f"{run.name}: not measured. {error}", err=True)
        return [error]
    if headline:
        click.echo(f"{run.name}: {headline}\n  {sweep.out / run.name / 'report.html'}")
    return []


def _stopped() -> Stopped:
    return Stopped("stopped", hint="Finished trials are kept: type the same command to go on.")


def _one(run: Planned, sweep: _Sweep) -> str:
    """Make one run, or go on with it; its headline. Empty where the sweep was over before it began."""
    if sweep.over.is_set() or sweep.stop():
        return ""
    try:
        return _made(run, sweep)
    except KvassayError:
        if not sweep.keep_going:
            sweep.over.set()
        raise


def _made(run: Planned, sweep: _Sweep) -> str:
    out, executor = sweep.out / run.name, sweep.there.executor()
    store = out / STORE_NAME
    before = _headline(store, Planned(run.name, executor.fit(run.settings)))
    if before:
        return before
    view = perform(
        run.settings,
        store_path=store,
        out=out,
        resume=True,
        keep_going=sweep.keep_going,
        console=Console(quiet=True),
        executor=executor,
        flags=sweep.flags,
        watching=lambda: _watching(run, sweep),
    )
    return view.verdict.headline


@contextmanager
def _watching(run: Planned, sweep: _Sweep) -> Iterator[Watch]:
    """One stop for all runs, and plain lines that say whose they are."""
    with RunProgress(Console(stderr=True, force_terminal=False), label=f"{run.name}: ") as progress:
        yield Watch(sweep.stop, progress)


def _is_finished(path: Path) -> bool:
    if not path.is_file():
        return False
    with Store(path) as store:
        return bool(store.runs()) and not store.unfinished()


def _headline(path: Path, run: Planned) -> str:
    """What a run has found that is finished; empty where there is something left to do."""
    if not _is_finished(path):
        return ""
    with Store(path) as store:
        finished = store.run()
        manifest = finished.record.manifest
        other = differences(manifest.settings, run.settings.model_dump(mode="json"))
        suite = load_suite(run.settings.suite) if run.settings.suite else None
        if suite and suite.sha256 != manifest.design.suite_sha256:
            other.append(f"  {run.settings.suite}: its cases have changed")
        if other:
            raise ConfigError(
                f"{str(path)!r} holds another run than the sweep asks for:\n" + "\n".join(other),
                hint="Give the changed sweep another --out.",
            )
        return verdict_of(finished).headline

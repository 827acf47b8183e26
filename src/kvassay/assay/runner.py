"""The run: every arm's server is started and climbs the ladder; a stopped run goes on where it was."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kvassay.assay import events
from kvassay.assay.agenda import agenda
from kvassay.assay.climb import Climb
from kvassay.assay.design import (
    Sample,
    context_tokens,
    design_of,
    manifest_of,
    require_equal,
    require_resumable,
    stated,
)
from kvassay.assay.meter import Meter
from kvassay.assay.prepare import Questions, native_dialect, prompts_of
from kvassay.assay.prompts import PromptBook, read
from kvassay.assay.schedule import Slot, boot_order
from kvassay.assay.store import Store, Usage
from kvassay.assay.stored import StoredRun
from kvassay.assay.visit import Visit
from kvassay.assay.witness import is_unread, witness
from kvassay.backend.base import Backend, Boot, Listener, Progress, Sampling
from kvassay.errors import BackendError, ConfigError, Interrupted, StoreMismatch, WorkerLost
from kvassay.executor.base import Executor
from kvassay.executor.local import LOCAL
from kvassay.host import host_entry, nameless
from kvassay.settings import RunSettings
from kvassay.types import Arm, BootFacts, Role

__all__ = ["PROBES", "Job", "Method", "Sample", "Visit", "run"]


@dataclass(frozen=True, slots=True)
class Method:
    """What is done with each boot: probes are asked, or closed loops are played. ``pending`` are the slots of an arm
    that the store does not hold yet, ``done`` counts those that it holds, ``work`` does what is pending. An arm that is
    ``unread`` is visited for what it tells beside trials, even if no slot is pending.
    """

    pending: Callable[[StoredRun, Arm], tuple[Slot, ...]]
    done: Callable[[StoredRun], int]
    work: Callable[[Visit], None]
    in_loops: bool = False
    unread: Callable[[StoredRun, Arm], bool] = lambda _run, _arm: False

    def is_over(self, run: StoredRun, arm: Arm) -> bool:
        """Whether an arm need not be visited any more."""
        return not self.pending(run, arm) and not self.unread(run, arm)


def _ask(visit: Visit) -> None:
    own = agenda(visit.run, visit.arm)
    Climb(visit, witness(visit.boot, visit.run, visit.arm, own)).run(own)


PROBES = Method(lambda run, arm: tuple(agenda(run, arm).pending()), lambda run: len(run.done()), _ask, unread=is_unread)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run needs, checked. ``stop`` is asked between trials; ``keep_going`` skips candidates whose server
    fails instead of ending the run.
    """

    settings: RunSettings
    backend: Backend
    sample: Sample
    arms: tuple[Arm, ...]
    questions: Questions
    store: Store
    observe: events.Observer = events.ignore
    stop: Callable[[], bool] = lambda: False
    keep_going: bool = False
    method: Method = PROBES
    executor: Executor = LOCAL

    @property
    def stated(self) -> dict[str, object]:
        """The design as far as it is known without a server."""
        known = stated(self.settings, self.sample, self.arms, self.questions)
        return {**known, "hardware": self.executor.hardware}

    @property
    def context_tokens(self) -> int:
        """The context that each server is asked for."""
        return context_tokens(self.settings, self.questions)


@dataclass(frozen=True, slots=True)
class _Work:
    """What the first boot fixes for all others."""

    run: StoredRun
    book: PromptBook
    native: str | None
    meter: Meter
    resumed: bool


def run(job: Job, *, resume: StoredRun | None = None) -> StoredRun:
    """Run every trial that the store does not hold yet; the finished run.

    Raises Interrupted, StoreMismatch, or a BackendError that names what a server did; whichever it is, all finished
    trials are in the store.
    """
    if resume is not None:
        require_resumable(resume.record.manifest, job.settings, job.stated)
    walk = _Walk(job, resume)
    order = boot_order(job.arms, seed=job.settings.seed)
    visits = [partial(walk.visit, arm, index) for index, arm in enumerate(order)]
    job.executor.walk(visits[0], visits[1:])
    assert walk.stored is not None  # noqa: S101  the reference arm always runs
    job.store.finish(walk.stored)
    return job.store.run(walk.stored.record.id)


@dataclass(slots=True)
class _Walk:
    """A run under way. Arms may be visited at the same time; each begins where the store says that it is."""

    job: Job
    stored: StoredRun | None
    work: _Work | None = None

    def visit(self, arm: Arm, index: int) -> None:
        """Ask an arm all that it has not been asked yet."""
        if self.stored is not None and self.job.method.is_over(self.stored, arm):
            return
        try:
            self._persist(arm, index)
        except BackendError as error:
            if self.stored is None or not self.job.keep_going or arm.role is Role.REFERENCE:
                raise
            if self.work is not None:
                left = self.job.method.pending(self.stored, arm)
                self.work.meter.leave_out(len(left), self.work.book.new_tokens(left))
            self.job.observe(events.ArmFailed(arm.label, str(error)))

    def _persist(self, arm: Arm, index: int) -> None:
        """Boot the arm again as long as nothing but its worker was lost; what is stored by then is not repeated."""
        for left in range(self.job.executor.retries, 0, -1):
            try:
                self._boot(arm, index)
            except WorkerLost as lost:
                self.job.observe(events.BootLost(arm.label, str(lost), left))
            else:
                return
        self._boot(arm, index)

    def _boot(self, arm: Arm, index: int) -> None:
        job = self.job
        listener = _listener(job, arm, index)
        started = time.perf_counter()
        with _open(job, arm, self.stored, listener) as boot:
            up_s = time.perf_counter() - started
            job.observe(events.BootReady(arm.label, boot.facts))
            work = self._prepared(boot, listener)
            _check_like_the_first(work, boot)
            _check_fits(job, boot, work.book)
            work.meter.boot(up_s)
            with work.meter.one_more():
                job.method.work(_visit(job, boot, arm, work, listener))

    def _prepared(self, boot: Boot, listener: Listener) -> _Work:
        """What the first boot fixes. Of boots that start a resumed run together, each makes the prompts anew and has
        them compared with the store's; the first one's are kept.
        """
        if self.work is None:
            listener(Progress("ready", note="writing the prompts"))
            made = _begin(self.job, boot) if self.stored is None else _go_on(self.job, boot, self.stored)
            if self.work is None:
                self.work, self.stored = made, made.run
                meter, counts = made.meter, made.run.counts()
                self.job.observe(events.Prepared(meter.total, meter.done, len(self.job.arms), made.resumed, counts))
        return self.work


def _visit(job: Job, boot: Boot, arm: Arm, work: _Work, listener: Listener) -> Visit:
    return Visit(
        boot,
        arm,
        run=work.run,
        book=work.book,
        native=work.native,
        sampling=Sampling(max_tokens=job.settings.max_tokens, seed=job.settings.seed, top_n=job.settings.top_n),
        store=job.store,
        meter=work.meter,
        observe=job.observe,
        stop=job.stop,
        listener=listener,
    )


def _open(job: Job, arm: Arm, stored: StoredRun | None, listener: Listener) -> Boot:
    """Start the arm's server. Where it fails, the store says so: reports name arms that were not run, and why."""
    try:
        return job.backend.open(arm, context_tokens=job.context_tokens, listener=listener)
    except BackendError as error:
        if stored is not None:
            number = job.store.add_boot(stored, arm.label, BootFacts(job.backend.name))
            job.store.end_boot(number, Usage(), str(error))
        raise


def _begin(job: Job, boot: Boot) -> _Work:
    written = prompts_of(job.settings, job.questions, boot)
    _check_fits(job, boot, written.book)
    native = native_dialect(job.settings, boot.facts.chat_template)
    design = design_of(job.stated, build=boot.facts.build, native=native, written=written)
    stored = job.store.begin(manifest_of(design, job.settings, written.replay), written.session, written.probes)
    return _work(job, stored, written.book, native, resumed=False)


def _go_on(job: Job, boot: Boot, stored: StoredRun) -> _Work:
    native = native_dialect(job.settings, boot.facts.chat_template)
    require_equal(stored.record.manifest.design, {"dialect": native or ""})
    book = read(boot, stored.session(), stored.probes())
    return _work(job, stored, book, native, resumed=True)


def _work(job: Job, stored: StoredRun, book: PromptBook, native: str | None, *, resumed: bool) -> _Work:
    pending = [job.method.pending(stored, arm) for arm in job.arms]
    done, left = job.method.done(stored), sum(map(len, pending))
    open_arms = [arm for arm, slots in zip(job.arms, pending, strict=True) if slots or job.method.unread(stored, arm)]
    meter = Meter(
        total=done + left,
        done=done,
        tokens_left=sum(map(book.new_tokens, pending)),
        boots_left=len(open_arms),
    )
    return _Work(stored, book, native, meter, resumed)


def _check_fits(job: Job, boot: Boot, book: PromptBook) -> None:
    room = boot.facts.context_tokens or job.context_tokens
    for prompt in book.prompts:
        need = prompt.prompt_tokens + job.settings.max_tokens
        if need > room:
            raise ConfigError(
                f"probe {prompt.probe.id!r} at depth {prompt.depth:,} needs {need:,} tokens of context; the server "
                f"has {room:,}",
                hint=f"Start it with a context of {need:,}, or ask for smaller --depths."
                if boot.facts.stated_by_user
                else f"Use --context {need}, or smaller --depths.",
            )


def _check_like_the_first(work: _Work, boot: Boot) -> None:
    """Servers of other builds or models are never compared; of a user's own server its file's name must do."""
    require_equal(work.run.record.manifest.design, {"build": boot.facts.build})
    first = next((before.facts.model_path for before in work.run.boots() if before.facts.model_path), None)
    if boot.facts.stated_by_user and first and boot.facts.model_path and _file(first) != _file(boot.facts.model_path):
        raise StoreMismatch(
            f"this server holds {boot.facts.model_path!r}, the first one of this run {first!r}",
            hint="Attach servers of one and the same model.",
        )
    _check_same_hardware(work, boot)


def _check_same_hardware(work: _Work, boot: Boot) -> None:
    """Boots elsewhere say on which machine they are: no pair is made of two kinds of machine, or of GPU."""
    entry = host_entry(boot.facts.devices)
    hosted = (before for before in work.run.boots() if entry and host_entry(before.facts.devices))
    for before in hosted:
        if nameless(before.facts.devices) != nameless(boot.facts.devices):
            raise StoreMismatch(
                f"this boot is on {', '.join(boot.facts.devices)}; boot {before.id} ({before.arm}) was on "
                f"{', '.join(before.facts.devices)}",
                hint="Pairs are never measured across hardware: go on where the first boots were (--node-resource).",
            )


def _file(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _listener(job: Job, arm: Arm, index: int) -> Listener:
    def listen(progress: Progress) -> None:
        if job.stop():
            raise Interrupted
        job.observe(events.BootProgress(arm.label, index + 1, len(job.arms), progress))

    return listen

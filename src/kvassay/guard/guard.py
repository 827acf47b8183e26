"""One guard from its options: everything opened, wired, run until told to stop, and closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass

from filelock import FileLock, Timeout

from kvassay.errors import StoreBusy
from kvassay.guard.counting import Counter
from kvassay.guard.gate import Gate
from kvassay.guard.metrics import Metrics
from kvassay.guard.options import Address, Options
from kvassay.guard.own import OwnPages
from kvassay.guard.proxy import Proxy, client_session
from kvassay.guard.recording import Exchange
from kvassay.guard.server import Doors, Traffic, bind, listening
from kvassay.guard.spool import Spool
from kvassay.guard.store import open_store, read_events
from kvassay.guard.tally import Tally
from kvassay.guard.turn_event import TurnEvent
from kvassay.guard.watch import Watch, watches
from kvassay.guard.watching import Watched, WatchSettings
from kvassay.types import JsonObject

_REMEMBERED = 20_000

Listener = Callable[[TurnEvent], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A guard that listens."""

    listen: Address
    page: Address
    metrics: Metrics
    tally: Tally


def silent(_event: TurnEvent) -> None:
    """A listener that does nothing."""


@asynccontextmanager
async def running(options: Options, listener: Listener = silent) -> AsyncIterator[Running]:
    """Run a guard while entered. ``listener`` hears of every watched turn.

    Raises PortTaken, ConfigError, StoreError, StoreBusy.
    """
    metrics, tally = Metrics(), Tally()
    async with AsyncExitStack() as stack:
        _remember(options, tally, stack)
        pages = _pages(options, metrics, tally)

        def heard(watched: Watched) -> None:
            metrics.watched(watched)
            if watched.event is not None:
                tally.add(watched.event)
                pages.changed()
                listener(watched.event)

        session = await stack.enter_async_context(client_session(options.bounds))
        spool = stack.enter_context(closing(Spool(options.bounds.waiting_bytes)))
        counter = Counter(options.upstream, session) if options.counts_tokens else None
        watch = Watch(_settings(options), heard, spool, counter)
        pages.gauges = lambda: {"watch_dropped": watch.dropped, "watch_restarts": watch.restarts}
        proxy = Proxy(options.upstream, session, _both(metrics.passed, watch), watches, options.bounds)
        await stack.enter_async_context(_task(watch))
        yield await _open(options, _traffic(options, proxy, watch, metrics), pages, stack)


def _traffic(options: Options, proxy: Proxy, watch: Watch, metrics: Metrics) -> Traffic:
    if not options.actions:
        return proxy.pass_on
    from kvassay.guard.intervening import Intervener  # noqa: PLC0415  who only watches need not hold it in memory

    return Intervener(proxy, watch, options.actions, options.fallback, metrics.passed, metrics.acted).pass_on


def _both(count: Callable[[Exchange], None], watch: Watch) -> Callable[[Exchange], None]:
    def done(exchange: Exchange) -> None:
        count(exchange)
        if exchange.request and not exchange.too_large and watches(exchange.method, exchange.path):
            watch.take(exchange)

    return done


async def _open(options: Options, traffic: Traffic, pages: OwnPages, stack: AsyncExitStack) -> Running:
    gate = Gate(options.token, options.hosts, options.origins)
    main = bind(options.listen)
    stack.callback(main.close)
    listen = Address(*main.getsockname()[:2])
    page = listen
    own = pages.answer if options.page is None else None
    if options.page is not None:
        other = bind(options.page)
        stack.callback(other.close)
        page = Address(*other.getsockname()[:2])
        await stack.enter_async_context(listening(other, Doors(gate, None, pages.answer), options.bounds))
    await stack.enter_async_context(listening(main, Doors(gate, traffic, own), options.bounds))
    return Running(listen, page, pages.metrics, pages.tally)


def _pages(options: Options, metrics: Metrics, tally: Tally) -> OwnPages:
    facts: JsonObject = {
        "upstream": options.upstream,
        "kv": options.kv,
        "since_s": time.time(),
        "bodies": options.keep_bodies,
        "store": str(options.store or ""),
        "actions": [action.value for action in sorted(options.actions)],
    }
    return OwnPages(tally, metrics, facts, options.store, dict)


def _remember(options: Options, tally: Tally, stack: ExitStack | AsyncExitStack) -> None:
    """Lock the store, see that it can be written, and show what it holds."""
    if options.store is None:
        return
    options.store.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{options.store}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreBusy(
            f"another guard writes to {str(options.store)!r}", hint="End it, or choose another --store."
        ) from None
    stack.callback(lock.release)
    store = open_store(options.store, keep_days=options.keep_days, keep_mb=options.keep_mb)
    store.prune(time.time())
    store.close()
    for event in read_events(options.store, newest=_REMEMBERED):
        tally.add(event)


def _settings(options: Options) -> WatchSettings:
    return WatchSettings(options.store, options.keep_days, options.keep_mb, options.keep_bodies, options.kv)


@asynccontextmanager
async def _task(watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

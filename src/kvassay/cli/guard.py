"""`kvassay guard`: a proxy in front of your server that watches the tool calls."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from rich.console import Console
from rich.markup import escape

from kvassay.address import server_url
from kvassay.errors import ConfigError
from kvassay.extras import install_line

if TYPE_CHECKING:
    from kvassay.guard.guard import Running
    from kvassay.guard.options import Options
    from kvassay.guard.turn_event import TurnEvent

_LABEL = re.compile(r"[\w./:+ -]{1,40}", re.ASCII)
_KEYS = "Clients bring the server's key with their requests, as without the guard."
_KNOCK_S = 2.0
_STORE = Path("kvassay-out/guard.sqlite")


@click.command(no_args_is_help=True)
@click.option("--upstream", metavar="URL", help="Your server, e.g. http://127.0.0.1:8080.")
@click.option("--listen", metavar="HOST:PORT", help="Where agents connect. [127.0.0.1:8484]")
@click.option("--page", metavar="HOST:PORT", help="A separate address for page and metrics. [the same]")
@click.option("--kv", default="", metavar="K/V", help="The K/V pair your server runs, for page and metrics.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_STORE,
    metavar="FILE",
    help="Where turns are remembered. [kvassay-out/guard.sqlite]",
)
@click.option("--no-store", is_flag=True, help="Remember nothing on disk.")
@click.option("--keep-days", type=click.FloatRange(min=0, min_open=True), default=30.0, metavar="N", help="[30]")
@click.option("--keep-mb", type=click.FloatRange(min=1), default=256.0, metavar="N", help="Size of the store. [256]")
@click.option("--keep-bodies", is_flag=True, help="Keep requests and replies too, keys redacted.")
@click.option(
    "--token",
    envvar="KVASSAY_GUARD_TOKEN",
    metavar="TOKEN",
    help="Ask clients for this; needed to listen on other than loopback. Better set in KVASSAY_GUARD_TOKEN.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Another host name clients may use.")
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help="A web origin whose pages may call.")
@click.option("--sanitise", is_flag=True, help="Empty replayed call arguments that are not JSON.")
@click.option("--regenerate", is_flag=True, help="Ask once more, with a hint and another seed, after a bad call.")
@click.option("--coerce", is_flag=True, help="Mend values of a wrong type where nothing is lost by it.")
@click.option("--warn", is_flag=True, help="Tell the model about a loop, in its last tool result.")
@click.option("--stop", is_flag=True, help="Answer a request within a loop with a message instead of the model.")
@click.option(
    "--fall-back", "fallback", metavar="URL", help="Ask this server where yours fails, e.g. one with f16/f16."
)
@click.option(
    "--count-tokens/--no-count-tokens",
    default=None,
    help="Ask the server's tokenizer for prompt lengths that its answers do not tell. [if it runs on this machine]",
)
@click.option("--otel", is_flag=True, help="Send spans and metrics to OTEL_EXPORTER_OTLP_ENDPOINT; no texts.")
@click.option(
    "--save-turn", type=click.IntRange(min=1), metavar="N", help="Only write stored turn N here, for 'kvassay replay'."
)
def guard(
    *,
    upstream: str | None,
    listen: str | None,
    page: str | None,
    kv: str,
    store: Path,
    no_store: bool,
    keep_days: float,
    keep_mb: float,
    keep_bodies: bool,
    token: str | None,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    fallback: str | None,
    count_tokens: bool | None,
    otel: bool,
    save_turn: int | None,
    **actions: bool,
) -> None:
    """Watch the tool calls between your agents and your server. Point the agents at --listen instead of the server:
    nothing they send or get is changed, unless you turn an intervention on (from --sanitise to --fall-back).

    Page: http://127.0.0.1:8484/__kvassay/   Metrics: /__kvassay/metrics
    """
    if save_turn is not None:
        _save(store, save_turn)
        return
    if upstream is None:
        raise ConfigError("no server is named", hint="Add --upstream, e.g. --upstream http://127.0.0.1:8080")
    if not hasattr(os, "pread"):
        raise ConfigError("the guard runs on Linux and macOS only", hint="On Windows start it in WSL.")
    if importlib.util.find_spec("aiohttp") is None:
        raise ConfigError("the guard needs aiohttp", hint=f"Install it: {install_line('guard')}")
    from kvassay.guard import options as opts  # noqa: PLC0415  the extra's imports only where they are needed
    from kvassay.guard.contract import Action  # noqa: PLC0415

    if kv and not _LABEL.fullmatch(kv):
        raise ConfigError(f"--kv {kv!r} is no name of a pair", hint="Write for example q8_0/q4_0.")
    if no_store and keep_bodies:
        raise ConfigError("--keep-bodies and --no-store contradict each other", hint="Leave one out.")
    options = opts.Options(
        upstream=server_url(upstream, keys=_KEYS),
        listen=opts.DEFAULT_LISTEN if listen is None else opts.address(listen),
        page=None if page is None else opts.address(page),
        token=token,
        hosts=frozenset(opts.host_name(host) for host in hosts),
        origins=frozenset(opts.origin(origin) for origin in origins),
        kv=kv,
        store=None if no_store else store,
        keep_days=keep_days,
        keep_mb=keep_mb,
        keep_bodies=keep_bodies,
        actions=frozenset(
            (
                *(Action(name) for name, on in actions.items() if on),
                *((Action.FALL_BACK,) if fallback else ()),
            )
        ),
        fallback=None if fallback is None else server_url(fallback, keys=_KEYS),
        count_tokens=count_tokens,
    )
    with _telemetry(options.upstream) if otel else nullcontext(_silent) as send:
        asyncio.run(_serve(options, _Terminal(highlight=False), send))


class _Terminal(Console):
    """Where turns are told of. The guard goes on serving when nobody reads it any more."""

    def print_plain(self, text: str) -> None:
        """Print a line as it is. Rich takes a hundred times as long, in which no chunk of the traffic passes."""
        if self.quiet:
            return
        try:
            self.file.write(f"{text}\n")
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, sys.stdout.fileno())  # what is buffered must not fail once more when Python ends
        os.close(nobody)


def _save(store: Path, number: int) -> None:
    from kvassay.guard.handing import hand_over, saved  # noqa: PLC0415  as above

    turn = hand_over(store, number)
    click.echo(f"wrote {saved(turn, Path())}")
    click.echo(turn.command or f"kvassay replay can't ask this turn again: {turn.why_not}.")


def _telemetry(upstream: str) -> AbstractContextManager[Callable[[TurnEvent], None]]:
    if importlib.util.find_spec("opentelemetry") is None:
        raise ConfigError("--otel needs OpenTelemetry", hint=f"Install it: {install_line('guard', 'otel')}")
    from kvassay.guard.telemetry import telemetry  # noqa: PLC0415  as above

    return telemetry(upstream)


def _silent(_event: TurnEvent) -> None:
    """Without --otel nothing is sent."""


async def _serve(options: Options, console: _Terminal, send: Callable[[TurnEvent], None]) -> None:
    from kvassay.guard.guard import running  # noqa: PLC0415  as above
    from kvassay.guard.options import PREFIX  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows, where Ctrl-C interrupts asyncio.run itself
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def heard(event: TurnEvent) -> None:
        with suppress(OSError):  # a terminal or a disk that takes no more is no reason to stop
            _tell(event, options, console)
        send(event)

    async with running(options, heard) as guard:
        _spare_the_traffic()
        console.print(f"guarding {escape(options.upstream)} at http://{guard.listen}", soft_wrap=True)
        console.print(f"page     http://{guard.page}{PREFIX}/", soft_wrap=True)
        if fault := await asyncio.to_thread(_knock, options.upstream):
            console.print(
                f"note     no server answers there yet ({escape(fault)}); requests get an error until it does"
            )
        await stop.wait()
    console.print(_summary(guard), soft_wrap=True)


def _spare_the_traffic() -> None:
    """Leave all that was imported out of garbage collection: no chunk passes while a collection walks through it."""
    gc.collect()
    gc.freeze()


def _knock(upstream: str) -> str:
    try:
        httpx.get(upstream, timeout=_KNOCK_S, trust_env=False)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return ""


def _tell(event: TurnEvent, options: Options, console: _Terminal) -> None:
    what = [f"{event.outcome} {event.detail}"] if event.outcome not in ("", "correct") else []
    for line in (*what, *event.loops, *(f"ALARM {alarm}" for alarm in event.alarms)):
        at = time.strftime("%H:%M:%S", time.localtime(event.at_s))
        depth = "" if event.depth_tokens is None else f" at {event.depth_tokens} tokens"
        told = f"{at} {event.model}{depth}: {line}"
        printable = "".join(char if char.isprintable() else "�" for char in told)
        console.print_plain(printable.encode(console.encoding, "replace").decode(console.encoding))
    if what and event.has_bodies and options.store is not None:
        where = "" if options.store == _STORE else f" --store {shlex.quote(str(options.store))}"
        console.print_plain(f"         save it: kvassay guard --save-turn {event.id}{where}")


def _summary(guard: Running) -> str:
    graded = sum(guard.tally.graded.values())
    failed = sum(guard.tally.failed.values())
    return f"{guard.tally.turns} turns seen, {graded} graded, {failed} failed" if guard.tally.turns else "no turns seen"

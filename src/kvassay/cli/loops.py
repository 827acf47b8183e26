"""`kvassay loops`: tasks in closed loops under each K/V pair."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kvassay.assay.stored import StoredRun
from kvassay.cli.assay import STORE_NAME, Kind, measure, stored_settings
from kvassay.cli.run import run as run_command
from kvassay.errors import ConfigError
from kvassay.loops.families import FAMILIES
from kvassay.loops.play import LOOPS, per_family, tasks_of
from kvassay.loops.replies import AGENTS
from kvassay.loops.report import print_loops, write_loops
from kvassay.loops.view import LoopsView, build_loops_view
from kvassay.settings import RunSettings, check

FILE = click.Path(path_type=Path)
DEFAULTS: dict[str, object] = {
    "depths": "4k",
    "turns": 10,
    "channels": "raw",
    "parsed_share": 0,
    "evidence_probes": 0,
    "stopping": "fixed",
    "top_n": 0,
}
TASKS = 20
AS_FOR_RUN = (
    "pairs", "reference", "control", "isolate", "repeat", "levels", "corpus", "dialect", "seed", "max_tokens", "margin",
    "backend", "server_binary", "server_args", "attach", "serve", "url", "tokenizer", "device", "dtype", "k_layers",
    "v_layers", "context", "threads", "gpu_layers", "flash_attention", "port", "resume", "keep_going",
)  # fmt: skip
"""Options that mean what they mean for `kvassay run`."""


@click.command(no_args_is_help=True)
@click.argument("model", required=False)
@click.option("--depth", "depths", metavar="N,N", help="Session in front of the tasks, in tokens, e.g. 4k. [4k]")
@click.option("--tasks", type=int, metavar="N", help=f"Tasks a depth, as many of each family. [{TASKS}]")
@click.option("--turns", type=int, metavar="T", help="Turns after which a task is left. [10]")
@click.option("--agent", metavar="NAME", help=f"Whose error messages are heard: {', '.join(AGENTS)}. [opencode]")
@click.option("--families", metavar="F,F", help=f"Task families. [{','.join(FAMILIES)}]")
@click.option("--out", type=FILE, default=Path("kvassay-out/loops"), metavar="DIR", help="[kvassay-out/loops]")
@click.option("--store", "store_path", type=FILE, metavar="FILE", help="Where episodes are kept. [OUT/kvassay.sqlite]")
def loops(
    *, out: Path, store_path: Path | None, tasks: int | None, resume: bool, keep_going: bool, **flags: object
) -> None:
    """Let MODEL work on small tasks after a long session, and count what is done, what loops and what is given up.

    The tools act on a temporary directory: no shell, no network, nothing the model writes is executed.

    \b
    kvassay loops qwen2.5-coder-1.5b --kv q4_0/q4_0 --depth 4k --agent pi
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    store_path = store_path or out / STORE_NAME
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    settings = _settings(given, tasks, store_path if resume else None)
    console = Console()

    def finish(finished: StoredRun) -> LoopsView:
        return report(finished, out, console)

    measure(
        settings,
        tasks_of(settings),
        Kind(("loops",), "closed loops", LOOPS, finish),
        store_path=store_path,
        out=out,
        resume=resume,
        keep_going=keep_going,
    )


loops.params.extend(param for param in run_command.params if param.name in AS_FOR_RUN)


def report(finished: StoredRun, out: Path, console: Console) -> LoopsView:
    """The finding in the terminal, the reports in their folder."""
    view = build_loops_view(finished)
    paths = write_loops(view, out)
    print_loops(view, console, html=paths.html)
    return view


def _settings(given: dict[str, object], tasks: int | None, resumed: Path | None) -> RunSettings:
    stored = stored_settings(resumed, "run of closed loops", in_loops=True) if resumed else {}
    settings = check({**DEFAULTS, **stored, **given})
    for name, count in (("turns", settings.turns), ("tasks", tasks)):
        if count is not None and count < 1:
            raise ConfigError(f"{name} = {count}: give at least 1")
    if tasks is None and stored:
        return settings
    each = per_family(tasks or TASKS, len(settings.families or FAMILIES))
    return settings.model_copy(update={"probes_per_family": each})

"""The command line: one file per command, each parses, calls the API and prints."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress

import click

from kvassay.errors import ConfigError, KvassayError, StoreError

COMMANDS = {
    "demo": "Measure the small demo model: no model of your own needed.",
    "run": "Measure how your model's tool calls fare under each K/V pair.",
    "loops": "Let your model work on small tasks, turn by turn, in a sandbox.",
    "replay": "Ask the turns of a recorded session again under each K/V pair.",
    "sweep": "Run the same question on several models, here or on a cluster.",
    "report": "Print and write the report of a stored run.",
    "compare": "Compare two stored runs: builds, rotation, weight quants.",
    "plan": "Show which K/V pairs fit your memory, at which context.",
    "doctor": "Say what is wrong with a set-up's KV cache.",
    "recommend": "Find the K/V pair to run: one that fits, proven on your machine.",
    "guard": "Watch live traffic between your agents and your server.",
    "sessions": "List the recorded agent sessions of this machine, or of a path.",
    "models": "List, fetch, verify and remove the named small models.",
    "backends": "List the engines that can be measured, and what each shows.",
    "export": "Write a stored run's trials as JSONL or Parquet.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are used, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"kvassay.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  each command's file holds one of its name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="kvassay")
def app() -> None:
    """Kvassay measures whether your KV-cache precision breaks your agent's tool calls:
    on your own model, build and hardware, K and V apart, at each context length.
    """


def main() -> None:
    """Run the program; every error of ours is one clear message and an exit code."""
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        code = 130
    except KvassayError as error:
        click.echo(f"kvassay: {error}", err=True)
        code = error.exit_code
    except OSError as error:
        code = _refused_by_the_system(error)
    sys.exit(code or 0)


def _refused_by_the_system(error: OSError) -> int:
    """Say what nobody expected where it happened: a name that is too long, links in circles, a full disk."""
    said = error.strerror or str(error)
    if not isinstance(error.filename, str | bytes):
        click.echo(f"kvassay: {said}", err=True)
        with suppress(OSError):  # what could not be written is not tried again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return StoreError.exit_code
    click.echo(f"kvassay: {os.fsdecode(error.filename)!r}: {said}\nName another file or folder.", err=True)
    return ConfigError.exit_code

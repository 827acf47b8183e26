"""`kvassay doctor`: what is known of a set-up, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from kvassay.doctor.gather import diagnose, gather
from kvassay.doctor.setup import Severity
from kvassay.doctor.show import json_report, print_diagnoses

EXIT_CODES = {None: 0, Severity.NOTE: 0, Severity.WARNING: 10, Severity.PROBLEM: 20}
"""By the worst finding; 2 is a wrong input and 4 a server that did not answer, as everywhere."""

_DEVICES = ("cuda", "hip", "musa", "metal", "vulkan", "sycl", "opencl", "webgpu", "cann", "cpu")


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--pid", type=int, metavar="N", help="A running process; without anything, all back ends found.")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="The server's log, in addition.")
@click.option("--build", type=click.IntRange(1), metavar="N", help="llama.cpp's build number, e.g. 10488.")
@click.option("--device", type=click.Choice(_DEVICES), help="Where the model runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.argument("what", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def doctor(
    context: click.Context,
    *,
    pid: int | None,
    log: Path | None,
    build: int | None,
    device: str | None,
    as_json: bool,
    what: tuple[str, ...],
) -> None:
    """Say what is wrong with a set-up's KV cache; change nothing.

    WHAT is a command (after --), an address, or a file: a log, docker compose,
    systemd, a script, variables, or a configuration of TabbyAPI, llama-swap,
    LM Studio, koboldcpp, llama-cpp-python or vLLM. Options stand before it.

    \b
    kvassay doctor -- llama-server -m model.gguf -ctk q4_0 -ctv q8_0
    kvassay doctor http://127.0.0.1:8080
    kvassay doctor --build 10488 --device cuda compose.yaml

    Exit code: 0 nothing, or notes only; 10 warnings; 20 problems; 2 wrong input;
    4 no answer.
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    setups = gather(what, pid=pid)
    diagnoses = diagnose(setups, log=log, build=build, device=device)
    if as_json:
        click.echo(json.dumps(json_report(diagnoses), indent=2))
    else:
        print_diagnoses(diagnoses, Console())
    context.exit(max(EXIT_CODES[one.worst] for one in diagnoses))

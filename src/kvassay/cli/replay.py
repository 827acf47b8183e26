"""`kvassay replay`: the turns of a recorded session, asked again under each K/V pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import click
from rich.console import Console

from kvassay.cli.assay import STORE_NAME, perform, stored_settings
from kvassay.cli.gate import gate
from kvassay.cli.run import run
from kvassay.cli.turns import print_turns
from kvassay.errors import ConfigError
from kvassay.report.junit import check_writable, write_junit
from kvassay.settings import ReplaySettings, RunSettings, check, read

_SHARED = (
    "pairs", "k_types", "v_types", "k_layers", "v_layers", "reference", "control", "isolate", "repeat", "tools",
    "channels", "parsed_share", "dialect", "seed", "max_tokens", "margin", "evidence_probes", "backend",
    "server_binary", "server_args", "attach", "serve", "url", "tokenizer", "device", "dtype", "context", "threads",
    "gpu_layers", "flash_attention", "port", "config", "out", "store_path", "resume", "keep_going", "fail_on", "junit",
)  # fmt: skip
"""The options of `kvassay run` that hold for recorded turns too."""

_OWN = {
    "parsed_share": "Share of turns also asked through the chat endpoint. [1]",
    "tools": "The agent's tools: a recorded request. [the transcript's, or from its calls]",
    "context": "Context each server is started with. [what the session needs, or the model has]",
    "max_tokens": "Longest answer. [512]",
}
"""Help that differs from `kvassay run`'s."""

_NOT_OURS = ("depths", "families", "levels", "probes_per_family", "suite", "corpus", "stopping")
_MAX_TOKENS = 512  # recorded edits and files are longer than our probes' answers


@click.command(no_args_is_help=True)
@click.argument("session", required=False)
@click.argument("model", required=False)
@click.option("--turns", type=click.IntRange(1, 1000), metavar="N", help="How many turns, spread over depth. [24]")
@click.option("--turn", type=click.IntRange(1), metavar="N", help="Only this turn, many times: was it the cache?")
@click.option(
    "--seeds", type=click.IntRange(1, 1000), metavar="N", help="Sampled answers of --turn, beside a greedy one. [10]"
)
@click.option("--temperature", type=float, metavar="X", help="Temperature of --turn's sampled answers. [0.8]")
@click.option("--redact", is_flag=True, help="Mask secrets, names and home paths before anything is asked.")
@click.option("--list", "listed", is_flag=True, help="List the session's turns that can be asked; measure nothing.")
def replay(
    *,
    session: str | None,
    turns: int | None,
    turn: int | None,
    seeds: int | None,
    temperature: float | None,
    redact: bool,
    listed: bool,
    config: Path | None,
    out: Path,
    store_path: Path | None,
    resume: bool,
    keep_going: bool,
    fail_on: str | None,
    junit: Path | None,
    **flags: object,
) -> None:
    """Ask the turns of SESSION again, each at its own depth, under each K/V pair.

    SESSION is a file or an id that 'kvassay sessions' lists. MODEL is a GGUF file,
    hf:owner/repo/file.gguf, or a name from 'kvassay models'. Nothing leaves this machine.

    \b
    kvassay replay session.jsonl model.gguf --kv q4_0/q4_0 --context 32k
    kvassay replay session.jsonl model.gguf --kv q4_0/q4_0 --turn 31
    kvassay replay session.jsonl --list
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    own: dict[str, object] = {
        "session": session, "turns": turns, "turn": turn, "seeds": seeds, "temperature": temperature,
        "redact": redact or None,
    }  # fmt: skip
    own = {name: value for name, value in own.items() if value is not None}
    if listed:
        print_turns(str(_required(session)), redact=redact)
        return
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    if junit:
        check_writable(junit)
    store_path = store_path or out / STORE_NAME
    settings = _resumed(store_path, given, own) if resume else _new(config, given, own)
    view = perform(
        settings,
        store_path=store_path,
        out=out,
        resume=resume,
        keep_going=keep_going,
        console=Console(),
        command="replay",
    )
    if junit:
        write_junit(view, junit)
    if fail_on:
        gate(view.verdict, fail_on)


def _required(session: str | None) -> str:
    if session is None:
        raise ConfigError("no session is named", hint="Give a session's file, or an id: kvassay sessions")
    return session


def _new(config: Path | None, given: Mapping[str, object], own: Mapping[str, object]) -> RunSettings:
    _required(cast("str | None", own.get("session")))
    return checked({**(read(config) if config else {}), **given}, own)


def checked(values: Mapping[str, object], own: Mapping[str, object]) -> RunSettings:
    """The settings of a replay: every turn is asked of every arm, so that the timeline has no gap."""
    strange = [name for name in _NOT_OURS if name in values]
    if strange:
        raise ConfigError(f"{strange[0]!r} says what a synthetic session holds; a replay's is recorded")
    _check_together(own)
    defaults: dict[str, object] = {"parsed_share": 1.0, "max_tokens": _MAX_TOKENS}
    if own.get("turn") is not None:
        defaults["evidence_probes"] = 1  # the greedy answer
    turns = ReplaySettings.model_fields["turns"].default if own.get("turn") is None else 1
    fixed = {"stopping": "fixed", "levels": (1,), "probes_per_family": own.get("turns", turns), "replay": {**own}}
    return check({**defaults, **values, **fixed})


def _check_together(own: Mapping[str, object]) -> None:
    """Raise ConfigError for options that would do nothing beside the others."""
    if "turn" in own and "turns" in own:
        raise ConfigError("--turn asks one turn many times, --turns many turns once: give one of them")
    for name in ("seeds", "temperature"):
        if name in own and "turn" not in own:
            raise ConfigError(
                f"--{name} is for --turn N, which samples one turn's answers", hint="Without it answers are greedy."
            )


def _resumed(store_path: Path, given: Mapping[str, object], own: Mapping[str, object]) -> RunSettings:
    stored = stored_settings(store_path, "replay", fits=lambda manifest: manifest.replay is not None)
    before = stored["replay"]
    return check({**stored, **given, "replay": {**(before if isinstance(before, dict) else {}), **own}})


def _shared(option: click.Parameter) -> click.Parameter:
    if not (option.name in _OWN and isinstance(option, click.Option)):
        return option
    again = click.Option(option.opts, type=option.type, metavar=option.metavar, help=_OWN[option.name])
    again.name = option.name
    return again


replay.params += [_shared(option) for option in run.params if option.name in _SHARED]

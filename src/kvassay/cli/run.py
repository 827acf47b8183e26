"""`kvassay run`: the assay on the user's own model."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kvassay.cli.assay import STORE_NAME, perform, stored_settings
from kvassay.cli.executing import executing, place, taken
from kvassay.cli.gate import GATES, gate
from kvassay.report.junit import check_writable, write_junit
from kvassay.settings import RunSettings, check, read

FILE = click.Path(path_type=Path)


@click.command(no_args_is_help=True)
@click.argument("model", required=False)
@click.option(
    "--kv",
    "pairs",
    multiple=True,
    metavar="K/V",
    help="Pair to judge, e.g. q8_0/q4_0. One alone is isolated: K alone, V alone, both. May be repeated.",
)
@click.option("--k", "k_types", metavar="T,T", help="K types of a grid, with --v.")
@click.option("--v", "v_types", metavar="T,T", help="V types of a grid, with --k.")
@click.option("--k-layers", metavar="L=T,…", help="K types of single layers, e.g. 0-3=f16 (transformers only).")
@click.option("--v-layers", metavar="L=T,…", help="V types of single layers (transformers only).")
@click.option("--reference", metavar="K/V", help="What candidates are compared with. [f16/f16]")
@click.option("--control", metavar="K/V", help="Positive control: a pair known to be harsh, e.g. q4_0/q4_0:norot.")
@click.option("--isolate/--no-isolate", default=None, help="Add K alone and V alone to a single --kv. [isolate]")
@click.option("--repeat/--no-repeat", default=None, help="Boot the reference a second time (A/A). [repeat]")
@click.option("--depths", metavar="N,N", help="Context depths in tokens, e.g. 2k,8k,16k. [2k,8k]")
@click.option("--probes", "probes_per_family", type=int, metavar="N", help="Probes per family and depth. [8]")
@click.option("--levels", metavar="N,N", help="Difficulty: 1 easy, 2, 3 hard. [1,2]")
@click.option("--families", metavar="F,F", help="Probe families. [all, or none with --suite]")
@click.option("--suite", type=FILE, metavar="FILE", help="Your own cases (JSONL; docs/suites.md).")
@click.option("--tools", type=FILE, metavar="FILE", help="An agent's real tools (OpenAI format).")
@click.option("--corpus", type=FILE, metavar="DIR", help="Source code for the session. [Python's own]")
@click.option("--channels", metavar="C,C", help="raw, parsed or both. [raw,parsed]")
@click.option(
    "--parsed-share", type=float, metavar="X", help="Share of probes also asked through the chat endpoint. [0.2]"
)
@click.option("--dialect", metavar="NAME", help="Tool-call format. [from the chat template]")
@click.option("--seed", type=int, metavar="N", help="Fixes all that is drawn: session, questions, order of arms. [0]")
@click.option("--max-tokens", type=int, metavar="N", help="Longest answer. [256]")
@click.option("--margin", type=float, metavar="X", help="Loss that would not matter, as a proportion. [0.05]")
@click.option(
    "--stopping", metavar="RULE", help="anytime: end a depth once it is decided; fixed: ask every probe. [anytime]"
)
@click.option(
    "--evidence", "evidence_probes", type=int, metavar="N", help="Probes an arm and depth compared token by token. [6]"
)
@click.option("--backend", metavar="NAME", help="Engine that runs the model; 'kvassay backends' lists them. [embedded]")
@click.option(
    "--server", "server_binary", metavar="FILE", help="Your llama-server binary; implies --backend llama-server."
)
@click.option(
    "--server-arg",
    "server_args",
    multiple=True,
    metavar="ARG",
    help="Extra flag for your llama-server, one word each. May be repeated.",
)
@click.option(
    "--attach", "--arm", "attach", multiple=True, metavar="K/V=URL",
    help="A running server and its pair: one arm. May be repeated.",
)  # fmt: skip
@click.option(
    "--serve", metavar="CMD", help="Command that starts your engine for a pair; {k} and {v} are its types. With --url."
)
@click.option("--url", metavar="URL", help="Where the server of --serve answers.")
@click.option(
    "--tokenizer",
    type=FILE,
    metavar="PATH",
    help="The model's GGUF file or Hugging Face directory, for engines that don't lend template and tokenizer.",
)
@click.option("--context", metavar="N", help="Context each server is started with. [deepest + room]")
@click.option("--threads", type=int, metavar="N", help="CPU threads of the server.")
@click.option("--gpu-layers", type=int, metavar="N", help="Layers on the GPU. [the server's choice]")
@click.option("--flash-attention", metavar="MODE", help="auto, on or off. [auto]")
@click.option("--port", type=int, metavar="N", help="Port for the server. [a free one]")
@click.option("--device", metavar="NAME", help="cuda, cuda:1; transformers: also cpu. [cuda if there is one]")
@click.option("--dtype", metavar="NAME", help="float32, float16 or bfloat16 (transformers only). [float32]")
@click.option("--config", type=FILE, metavar="FILE", help="Settings from a TOML file; flags override it.")
@click.option("--out", type=FILE, default=Path("kvassay-out"), metavar="DIR", help="Reports and logs. [kvassay-out]")
@click.option("--store", "store_path", type=FILE, metavar="FILE", help="Where trials are kept. [OUT/kvassay.sqlite]")
@click.option("--resume", is_flag=True, help="Go on with the store's unfinished run.")
@click.option("--keep-going", is_flag=True, help="Leave out pairs whose server fails.")
@click.option(
    "--fail-on",
    type=click.Choice([*GATES]),
    help="Exit code 10 if a candidate is degraded, or not proven within margin; 11 if nothing can be judged.",
)
@executing
@click.option("--junit", type=FILE, metavar="FILE", help="Write the verdicts as JUnit XML too.")
def run(
    *,
    config: Path | None,
    out: Path,
    store_path: Path | None,
    resume: bool,
    keep_going: bool,
    fail_on: str | None,
    junit: Path | None,
    **flags: object,
) -> None:
    """Measure how MODEL's tool calls fare under each K/V pair at each depth.

    MODEL is a GGUF file, hf:owner/repo/file.gguf, or a name from 'kvassay models'; with --backend transformers also a
    Hugging Face folder, with exllamav3 that or an EXL3 folder; of a server that is yours, the name by which it knows
    the model.

    \b
    kvassay run qwen2.5-coder-1.5b --kv q4_0/q4_0 --depths 2k,8k
    kvassay run model.gguf --k f16,q8_0 --v f16,q8_0,q4_0
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    store_path = store_path or out / STORE_NAME
    asked = taken(given)
    if junit:
        check_writable(junit)
    settings = _settings(config, given, store_path if resume else None)
    with place(asked) as there:
        view = perform(
            settings,
            store_path=store_path,
            out=out,
            resume=resume,
            keep_going=keep_going,
            console=Console(),
            executor=there.executor(),
            flags=asked.flags,
        )
    if junit:
        write_junit(view, junit)
    if fail_on:
        gate(view.verdict, fail_on)


def _settings(config: Path | None, given: dict[str, object], resumed: Path | None) -> RunSettings:
    stored = stored_settings(resumed) if resumed else {}
    return check({**stored, **(read(config) if config else {}), **given})

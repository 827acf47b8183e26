"""What `kvassay plan` does for a whole plan: memory, budget, evidence, advice, and their printing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from kvassay.cli.assay import STORE_NAME
from kvassay.errors import ConfigError, StoreError
from kvassay.model import resolve
from kvassay.model.catalog import CATALOG
from kvassay.model.gguf import read_header
from kvassay.model.shape import ModelShape
from kvassay.plan import advice, hardware
from kvassay.plan.breakdown import Place
from kvassay.plan.evidence import Evidence, evidence_for, measured
from kvassay.plan.launch import LaunchLine, launch_lines
from kvassay.plan.memory import DEFAULT_BATCH, DEFAULT_UBATCH, CacheSettings
from kvassay.plan.picture import render
from kvassay.plan.planner import MARGIN_BYTES, PAIRS, Budget, make_plan
from kvassay.plan.sizes import size_bytes
from kvassay.plan.table import print_plan
from kvassay.plan.view import Entry, PlanView, to_json
from kvassay.types import KVConfig


@dataclass(frozen=True, slots=True)
class Machine:
    """The flags about where the model runs."""

    vram: str | None
    reserve: str | None
    device: str | None
    gpu_layers: int | None
    mmproj: Path | None
    engine: str
    build: int | None


def _memory(machine: Machine) -> hardware.Memory:
    """The memory to plan for: as given, else as detected."""
    if machine.vram is not None:
        return hardware.Memory(machine.device or "cuda", "the given budget", size_bytes(machine.vram), "--vram")
    found = hardware.detect() if machine.device != "cpu" else hardware.main_memory()
    if machine.device not in (None, found.device):
        raise ConfigError(
            f"No {machine.device} device was found on this machine; {found.name} ({found.device}) was.",
            hint="Give its memory with --vram.",
        )
    return found


def view(  # noqa: PLR0917  all that an answer is made of
    model: str,
    shape: ModelShape,
    settings: CacheSettings,
    machine: Machine,
    pairs: Sequence[KVConfig],
    here: Mapping[str, Evidence],
) -> PlanView:
    """Plan, and gather what stands beside the plan. Raises KvassayError."""
    memory = _memory(machine)
    place = Place(memory.device, machine.gpu_layers, mmproj_bytes=_projector(machine.mmproj))
    reserve = size_bytes(machine.reserve, least=0) if machine.reserve is not None else MARGIN_BYTES
    planned = make_plan(shape, settings, place, Budget(memory.total_bytes, reserve), pairs or PAIRS)
    engine = advice.Engine(machine.engine, machine.build, memory.device)
    entries = tuple(
        Entry(row, advice.attention_of(engine, row.kv, shape), evidence_for(shape.name, row.kv, here))
        for row in planned.rows
    )
    bare = PlanView(planned, memory, entries, ())
    return PlanView(planned, memory, entries, _launches(model, bare, machine.mmproj))


def with_evidence(view: PlanView, here: Mapping[str, Evidence]) -> PlanView:
    """The same plan with other evidence beside it."""
    name = view.plan.shape.name
    return replace(
        view,
        entries=tuple(replace(entry, evidence=evidence_for(name, entry.row.kv, here)) for entry in view.entries),
    )


def _launches(model: str, view: PlanView, mmproj: Path | None) -> tuple[LaunchLine, ...]:
    chosen, plan = view.chosen, view.plan
    if chosen is None:
        return ()
    return launch_lines(
        launchable(model),
        chosen.kv,
        context_tokens=plan.wanted,
        parallel=plan.settings.parallel,
        gpu_layers=plan.place.gpu_layers,
        flash_attention=plan.settings.flash_attention,
        more=[*_as_planned(plan.settings), *(["--mmproj", str(mmproj)] if mmproj else [])],
    )


def _as_planned(settings: CacheSettings) -> list[str]:
    """The words that make llama-server differ from its defaults as the plan does."""
    words = ["-kvu"] if settings.unified else []
    words += ["-b", str(settings.batch)] if settings.batch != DEFAULT_BATCH else []
    words += ["-ub", str(settings.ubatch)] if settings.ubatch != DEFAULT_UBATCH else []
    words += ["--swa-full"] if settings.swa_full else []
    drafts = ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(settings.draft_tokens)]
    return words + (drafts if settings.draft_tokens else [])


def launchable(model: str) -> str:
    """What a server is given: a catalogue's model is a file on this machine, once it was fetched."""
    blob = resolve.find_blob(model) if model in CATALOG else None
    return str(blob.path) if blob else model


def _projector(path: Path | None) -> int:
    if path is None:
        return 0
    return sum(tensor.n_bytes or 0 for tensor in read_header(path).tensors)


def verdicts(path: Path | None, model: str) -> Mapping[str, Evidence]:
    """Verdicts by pair, from the store that was named, or from the usual one where it is here."""
    if path is not None:
        if not path.is_file():
            raise StoreError(f"{str(path)!r} is no store.", hint="Name the kvassay.sqlite of a run.")
        return measured(path, model)
    usual = Path("kvassay-out") / STORE_NAME
    return measured(usual, model) if usual.is_file() else {}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{str(path)!r} can't be written: {error.strerror or error}.") from error


def show(answer: PlanView, html_path: Path | None, *, as_json: bool) -> None:
    """Write the picture where it is asked for, and print the table or the JSON."""
    if html_path is not None:
        _write(html_path, render(answer))
    if as_json:
        click.echo(json.dumps(to_json(answer), indent=2))
    else:
        print_plan(answer, Console())

"""What `kvassay recommend` does: plan, order, measure from the most promising pair on until one is proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from kvassay import host
from kvassay.assay.design import room_for
from kvassay.assay.prepare import Questions, questions_of
from kvassay.assay.store import Store
from kvassay.backend import catalog as backend_catalog
from kvassay.backend.kv import LLAMA_TYPES, parse_pair
from kvassay.cli import planning
from kvassay.cli.assay import Stopped, perform
from kvassay.errors import ConfigError, NotEngaged, PairRefused
from kvassay.model.source import load_shape
from kvassay.plan.alternative import Alternative, alternative
from kvassay.plan.answer import Answer, Found
from kvassay.plan.depths import ladder
from kvassay.plan.evidence import Judged, evidence_of, judgements, of_model
from kvassay.plan.judged import Question, known
from kvassay.plan.memory import CacheSettings, FlashAttention
from kvassay.plan.planner import PAIRS, REFERENCE, Plan
from kvassay.plan.recommend import Candidate, Ranking, ranking
from kvassay.plan.view import PlanView
from kvassay.settings import RunSettings, check, read

Values = Mapping[str, object]
"""Settings by name, as flags and a settings file give them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be recommended: ``context_tokens`` 0 is the model's own, no ``pairs`` are the usual ones."""

    model: str
    context_tokens: int
    max_depth: int
    pairs: Sequence[str] = ()
    also: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where reports and trials go."""

    out: Path
    store: Path


@dataclass(frozen=True, slots=True)
class _Assay:
    """How a candidate is measured; ``known`` are the stored verdicts that answer the same question."""

    values: Values
    place: Place
    known: Mapping[str, Judged]
    console: Console = field(default_factory=lambda: Console(stderr=True))


def base_settings(config: Path | None, given: Values) -> Values:
    """The settings that all candidates share, checked as far as they go without a model. Raises ConfigError."""
    values = {"repeat": False, **(read(config) if config else {}), **given}
    row = backend_catalog.CATALOG.get(str(values.get("backend", "attach" if values.get("attach") else "embedded")))
    if row and row.reach == "attached":
        raise ConfigError(
            f"backend = {row.name!r}: a server that runs already has its one pair",
            hint="recommend starts a server for each: --backend embedded, or --server FILE for your own binary.",
        )
    if row and row.computed:
        raise ConfigError(
            f"backend = {row.name!r} computes formats and serves nobody: what it shows proves no server",
            hint="recommend starts a server for each: --backend embedded, or --server FILE for your own binary.",
        )
    if row and row.reach == "in process":
        raise ConfigError(
            f"backend = {row.name!r}: recommend ranks and proves llama.cpp's pairs, which {row.name} has not",
            hint=f"Measure pairs of your own: kvassay run MODEL --backend {row.name} --kv {row.clean}/4.",
        )
    own: Values = {"reference": str(REFERENCE), "isolate": False, "k_types": (), "v_types": (), "control": None}
    values = {**values, **own, "context": None}
    check({**values, "pairs": ("q8_0/q8_0",)})
    return values


def recommend(asked: Asked, machine: planning.Machine, values: Values, place: Place, *, dry: bool) -> Answer:
    """The recommendation. Raises KvassayError; whatever was measured until then is in the store."""
    pairs = tuple(dict.fromkeys((REFERENCE, *(parse_pair(pair, LLAMA_TYPES) for pair in asked.pairs))))
    base = _settings({**values, "model": asked.model}, "q8_0/q8_0")
    questions = questions_of(base)
    shape = load_shape(asked.model)
    cache = CacheSettings(context_tokens=asked.context_tokens, flash_attention=FlashAttention(base.flash_attention))
    bare = planning.view(asked.model, shape, cache, machine, pairs if asked.pairs else PAIRS, {})
    others = _alternatives(asked.also, bare.plan)
    if bare.plan.needs_no_quantisation:
        return Answer(planning.launchable(asked.model), bare, Ranking((), ()), others)
    depths = base.depths if "depths" in values else _depths(asked, base, questions, bare.plan)
    settled = {**values, "model": asked.model, "depths": depths}
    assay = _Assay(settled, place, _known(asked.model, _settings(settled, "q8_0/q8_0"), questions, place.store))
    view = _with_evidence(bare, assay)
    order = ranking(view.entries, device=view.memory.device, wanted=view.plan.wanted)
    found = () if dry else tuple(_prove(order.candidates, assay))
    return Answer(planning.launchable(asked.model), view, order, others, depths, found, dry)


def _settings(values: Values, pair: str) -> RunSettings:
    return check({**values, "pairs": (pair,)})


def _alternatives(names: Sequence[str], plan: Plan) -> tuple[Alternative, ...]:
    return tuple(alternative(name, load_shape(name), plan) for name in names)


def _depths(asked: Asked, settings: RunSettings, questions: Questions, plan: Plan) -> tuple[int, ...]:
    """As deep as is asked for, but within --max-depth, what the model was trained for, and what f16 itself holds."""
    room = room_for(settings, questions)
    trained = plan.shape.context_length or plan.wanted
    reach = plan.reference.max_context if plan.reference else 0
    return ladder(min(asked.max_depth, room.greatest_depth(min(plan.wanted, trained))), room.greatest_depth(reach))


def _known(model: str, settings: RunSettings, questions: Questions, store: Path) -> dict[str, Judged]:
    if not store.is_file():
        return {}
    question = Question(
        backend=settings.backend,
        hardware=host.hardware(),
        families=questions.families,
        suite_sha256=questions.suite.sha256 if questions.suite else None,
        levels=settings.levels,
        probes_per_family=settings.probes_per_family,
        seed=settings.seed,
        depths=tuple(questions.placed(settings.depths)),
        margin=settings.margin,
        alpha=settings.alpha,
    )
    return known(judgements(store, model), question)


def _with_evidence(view: PlanView, assay: _Assay) -> PlanView:
    here = {pair: evidence_of(found, assay.place.store) for pair, found in assay.known.items() if not found.fault}
    return planning.with_evidence(view, here)


# --------------------------------------------------------------------------- measuring


def _prove(candidates: Sequence[Candidate], assay: _Assay) -> Iterator[Found]:
    """One candidate after the other, until one is proven or the model itself is found to fail."""
    for number, candidate in enumerate(candidates, 1):
        stored = assay.known.get(candidate.name)
        if stored is None:
            told = f"{candidate.name} ({number} of {len(candidates)}): {candidate.why}"
            assay.console.print(told, highlight=False, markup=False, soft_wrap=True)
            found = _measure(candidate, assay)
        else:
            found = Found(candidate, stored.arm, stored.fault, anew=False)
        yield found
        if found.is_proven or found.fault:
            return


def _measure(candidate: Candidate, assay: _Assay) -> Found:
    settings = _settings(assay.values, candidate.name)
    try:
        view = perform(
            settings,
            store_path=assay.place.store,
            out=assay.place.out,
            resume=_can_resume(assay.place.store, settings),
            keep_going=False,
            console=assay.console,
        )
    except Stopped as stopped:
        raise Stopped(stopped.message, hint="Finished trials are kept: type the same command to go on.") from None
    except (PairRefused, NotEngaged) as error:
        return Found(candidate, error=error.message)
    return Found(candidate, view.verdict.of(candidate.name), view.verdict.fault)


def _can_resume(path: Path, settings: RunSettings) -> bool:
    """Whether the store's unfinished run is of this candidate, under the same settings."""
    if not path.is_file():
        return False
    with Store(path) as store:
        unfinished = store.unfinished()
        if unfinished is None or not of_model(unfinished.record, settings.model or ""):
            return False
        return unfinished.record.manifest.settings == settings.model_dump(mode="json")

"""How often the whole verdict machine is wrong, and what being right takes: simulated runs, from outcomes to verdict.

    python benchmarks/verdict_machine.py [RUNS]

Each run has the reference, K alone, V alone, both, and a second boot, at two depths; probes are asked in rounds of six,
a rung ends by the stopping rule, and the run is judged exactly as a real one is. Prints a table in Markdown.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kvassay.assay.records import ArmSpec
from kvassay.assay.schedule import Slot, schedule
from kvassay.assay.stopping import Rule, wanted
from kvassay.verdict import Outcomes, State, Verdict, judge

DEPTHS, FAMILIES, ALPHA, MARGIN = (2048, 8192), 6, 0.05, 0.05
REFERENCE, REPEAT, CANDIDATES = "f16/f16", "f16/f16 #2", ("q4_0/f16", "f16/q4_0", "q4_0/q4_0")
Rates = tuple[float, float]  # of lost and of gained pairs
Place = tuple[int, str]  # depth, probe


@dataclass(frozen=True)
class World:
    """What is true: how often the reference is right, and each candidate's rates of lost and gained pairs by depth.
    ``noise`` is the rate of lost, and of gained, pairs of the second boot. ``alike``: a probe has the same fate
    at every depth, in each arm; otherwise each depth has probes of its own, as runs have.
    """

    name: str
    k: tuple[Rates, Rates]
    v: tuple[Rates, Rates]
    right: float = 0.9
    noise: float = 0.0
    alike: bool = False


def same(rates: Rates) -> tuple[Rates, Rates]:
    """The same at both depths."""
    return rates, rates


NONE, STILL = (0.0, 0.0), same((0.0, 0.0))
WORLDS = (
    World("nothing differs", STILL, STILL),
    World("A/A noise: 2 % of pairs flip", same((0.01, 0.01)), same((0.01, 0.01)), noise=0.01),
    World("A/A noise: 10 % of pairs flip", same((0.05, 0.05)), same((0.05, 0.05)), noise=0.05),
    World("10 % flip, a probe alike at both depths", same((0.05, 0.05)), same((0.05, 0.05)), noise=0.05, alike=True),
    World("K breaks everything, V nothing", same((0.95, 0.0)), STILL, right=0.95),
    World("K costs 8 points (9 lost, 1 gained), V nothing", same((0.09, 0.01)), STILL),
    World("K costs exactly the margin, 5 points", same((0.05, 0.0)), STILL),
    World("the same, a probe alike at both depths", same((0.05, 0.0)), STILL, alike=True),
    World("K costs 2 points", same((0.02, 0.0)), STILL),
    World("K costs 20 points at 8k only", (NONE, (0.20, 0.0)), STILL),
)


def simulate(world: World, slots: tuple[Slot, ...], runs: int, rng: np.random.Generator) -> tuple[Counter, int, int]:  # type: ignore[type-arg]
    """States by (half, state), and probes of the candidates asked and planned."""
    states: Counter[tuple[str, State]] = Counter()
    asked = 0
    rule = Rule(ALPHA, MARGIN, claims=len(CANDIDATES) * len(DEPTHS))
    places = [(slot.depth, slot.probe) for slot in slots]
    for _ in range(runs):
        right = chances(places, world, rng)
        reference = {place: right[place] < world.right for place in places}
        outcomes: dict[tuple[str, int, str], bool | None] = {(REFERENCE, *place): ok for place, ok in reference.items()}
        both = tuple((max(k[0], v[0]), max(k[1], v[1])) for k, v in zip(world.k, world.v, strict=True))
        for arm, rates in zip(CANDIDATES, (world.k, world.v, both), strict=True):
            answers = flipped(reference, rates, world, rng)
            known = list(wanted(slots, rule, reference, answers))
            asked += len(known)
            outcomes |= {(arm, slot.depth, slot.probe): answers[slot.depth, slot.probe] for slot in known}
        again = flipped(reference, same((world.noise, world.noise)), world, rng)
        outcomes |= {(REPEAT, *place): ok for place, ok in again.items()}
        verdict = judged(outcomes)
        for half, arm in zip(("K", "V"), verdict.arms[:2], strict=True):
            states[half, arm.state] += 1
        states["any", State.DEGRADED] += any(arm.state.is_worse for arm in verdict.arms)
    return states, asked, runs * len(slots) * len(CANDIDATES)


def chances(places: Iterable[Place], world: World, rng: np.random.Generator) -> dict[Place, float]:
    """A number between 0 and 1 for each place; the same at all depths of a probe where they are alike."""
    drawn: dict[object, float] = {}
    return {place: drawn.setdefault(place[1] if world.alike else place, rng.random()) for place in places}


def flipped(
    reference: dict[Place, bool], rates: tuple[Rates, ...], world: World, rng: np.random.Generator
) -> dict[Place, bool]:
    """Another arm's answers. Lost pairs come out of right answers, gained ones out of wrong ones."""
    by_depth = dict(zip(DEPTHS, rates, strict=True))
    right = world.right
    chance = {True: lambda depth: by_depth[depth][0] / right, False: lambda depth: by_depth[depth][1] / (1 - right)}
    drawn = chances(reference, world, rng)
    return {place: ok != (drawn[place] < chance[ok](place[0])) for place, ok in reference.items()}


def judged(outcomes: Outcomes) -> Verdict:
    """The verdict as `kvassay run` would give it."""
    specs = [ArmSpec(label=label, role="candidate", k=label.split("/")[0], v=label.split("/")[1], rotation=True)
             for label in CANDIDATES]  # fmt: skip
    return judge(outcomes, reference=REFERENCE, repeat=REPEAT, candidates=specs, depths=DEPTHS, alpha=ALPHA,
                 margin=MARGIN, anytime=True)  # fmt: skip


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"{runs:,} runs a row, α = {ALPHA}, margin {100 * MARGIN:g} points, 3 candidates, 2 depths\n")
    print("| truth | probes a depth | any arm called worse | K degraded | K worse, within | K within margin "
          "| V within margin | V called worse | candidates' probes asked |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for per_family in (8, 25):
        for number, world in enumerate(WORLDS):
            probes = [
                (depth, f"f{family}/{n + (0 if world.alike else per_family * rung)}")
                for rung, depth in enumerate(DEPTHS) for family in range(FAMILIES) for n in range(per_family)
            ]  # fmt: skip
            slots = schedule(probes, channels=("raw",), parsed_share=0, seed=0)
            states, asked, planned = simulate(world, slots, runs, np.random.default_rng([per_family, number]))

            def share(half: str, *wanted_states: State, states: Counter = states) -> str:  # type: ignore[type-arg]
                return f"{100 * sum(states[half, state] for state in wanted_states) / runs:.1f} %"

            print(
                f"| {world.name} | {per_family * FAMILIES} | {share('any', State.DEGRADED)} "
                f"| {share('K', State.DEGRADED)} | {share('K', State.BOTH)} | {share('K', State.WITHIN_MARGIN)} "
                f"| {share('V', State.WITHIN_MARGIN)} | {share('V', State.DEGRADED, State.BOTH)} "
                f"| {100 * asked / planned:.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()

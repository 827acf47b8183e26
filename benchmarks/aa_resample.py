"""False verdicts on recorded A/A trials: a stored run's reference and second boot, resampled and judged as a candidate.

    python benchmarks/aa_resample.py kvassay-out/demo/kvassay.sqlite [RUNS]

Each resampled run draws probes with replacement, pair by pair, and gives the second boot's answers to three
"candidates" and to the A/A arm alike. Prints how often any of them was called worse, and their states.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from kvassay.assay.records import ArmSpec
from kvassay.assay.results import outcomes_of
from kvassay.assay.store import Store
from kvassay.types import Role
from kvassay.verdict import judge
from kvassay.verdict.effects import by_arm

CANDIDATES = ("q4_0/f16", "f16/q4_0", "q4_0/q4_0")


def main() -> None:
    """Print one line."""
    path, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200  # noqa: PLR2004
    with Store(path) as store:
        run = store.run()
        design = run.record.manifest.design
        labels = {arm.role: arm.label for arm in design.arms}
        trials = by_arm(outcomes_of(run))
    reference, repeat = trials[labels[Role.REFERENCE]], trials[labels[Role.REPEAT]]
    places = [place for place in reference if reference[place] is not None and repeat.get(place) is not None]
    flips = sum(reference[place] != repeat[place] for place in places)
    specs = [ArmSpec(label=label, role="candidate", k=label.split("/")[0], v=label.split("/")[1], rotation=True)
             for label in CANDIDATES]  # fmt: skip
    rng, states, worse = np.random.default_rng(1), Counter[str](), 0
    for _ in range(runs):
        outcomes: dict[tuple[str, int, str], bool | None] = {}
        drawn = rng.integers(len(places), size=len(places))
        for at, chosen in enumerate(drawn):
            depth, probe = places[chosen]
            outcomes["reference", depth, f"{probe}#{at}"] = reference[depth, probe]
            for arm in (*CANDIDATES, "repeat"):
                outcomes[arm, depth, f"{probe}#{at}"] = repeat[depth, probe]
        verdict = judge(outcomes, reference="reference", repeat="repeat", candidates=specs, depths=design.depths,
                        alpha=design.alpha, margin=design.margin, anytime=design.stopping == "anytime")  # fmt: skip
        states.update(str(arm.state) for arm in verdict.arms)
        worse += any(arm.state.is_worse for arm in verdict.arms)
    print(f"{len(places)} recorded pairs, {flips} flipped; {runs} resampled runs, {worse} with a false alarm")
    print(f"states of the {3 * runs} candidates: {dict(states)}")


if __name__ == "__main__":
    main()

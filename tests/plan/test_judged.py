"""Which stored verdicts answer a question, so that nothing is measured twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvassay.assay.records import ArmSpec, Design
from kvassay.plan.evidence import Judged
from kvassay.plan.judged import Question, answers_it, known
from kvassay.stats.cluster import clustered_difference
from kvassay.verdict import ArmVerdict, State, effect

QUESTION = Question("embedded", "two cores", ("edit", "recall"), None, (1, 2), 8, 0, (2048, 8192), 0.05, 0.05)
DESIGN = Design(
    model_name="m.gguf",
    model_sha256="a",
    backend="embedded",
    hardware="two cores",
    arms=(ArmSpec(label="q8_0/q8_0", role="candidate", k="q8_0", v="q8_0", rotation=True),),
    depths=(2048, 8192),
    context_tokens=10_240,
    families=("edit", "recall"),
    probes_per_family=8,
    levels=(1, 2),
    tools_sha256="b",
    session_sha256="c",
    prompts_sha256="d",
    seed=0,
    channels=("raw",),
    parsed_share=0.0,
    dialect="hermes",
    max_tokens=256,
    top_n=20,
    alpha=0.05,
    margin=0.05,
)


def judged(state: State, **changed: object) -> Judged:
    design = Design.model_validate(DESIGN.model_dump() | changed)
    overall = replace(effect([(True, True)], arm="q8_0/q8_0", alpha=0.05, margin=0.05), state=state)
    arm = ArmVerdict("q8_0/q8_0", state, "", overall, (), clustered_difference({"p": [0.0]}, level=0.9))
    return Judged(design, arm, "")


@pytest.mark.parametrize("state", list(State))
def test_the_very_same_question_is_answered_whatever_came_of_it(state: State) -> None:
    """An undecided run would be undecided again."""
    assert answers_it(judged(state), QUESTION)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    "other",
    [{"backend": "llama-server"}, {"hardware": "a GPU"}, {"families": ("edit",)}, {"suite_sha256": "e"},
     {"levels": (1,)}],
)  # fmt: skip
def test_another_machine_or_other_probes_answer_nothing(state: State, other: dict[str, object]) -> None:
    """Neither good nor bad news is carried over."""
    assert not answers_it(judged(state, **other), QUESTION)


@pytest.mark.parametrize(
    ("state", "changed", "answers"),
    [
        (State.WITHIN_MARGIN, {"margin": 0.1}, False),
        (State.WITHIN_MARGIN, {"margin": 0.01}, True),
        (State.WITHIN_MARGIN, {"alpha": 0.1}, False),
        (State.WITHIN_MARGIN, {"depths": (2048,)}, False),
        (State.WITHIN_MARGIN, {"depths": (16_384,)}, True),
        (State.WITHIN_MARGIN, {"seed": 1}, True),
        (State.BOTH, {"margin": 0.1}, False),
        (State.DEGRADED, {"margin": 0.1}, True),
        (State.DEGRADED, {"margin": 0.01}, False),
        (State.DEGRADED, {"depths": (2048,)}, True),
        (State.DEGRADED, {"seed": 1}, True),
        (State.INCONCLUSIVE, {"seed": 1}, False),
        (State.INCONCLUSIVE, {"probes_per_family": 4}, False),
        (State.INCONCLUSIVE, {"probes_per_family": 16}, True),
        (State.INCONCLUSIVE, {"depths": (8192,)}, False),
        (State.INCONCLUSIVE, {"depths": (2048, 8192, 16_384)}, False),
    ],
)
def test_a_claim_is_carried_over_only_where_it_is_as_strong(
    state: State, changed: dict[str, object], *, answers: bool
) -> None:
    """Harm wherever it was shown; "within margin" as strict and as deep; undecided over the very same probes."""
    assert answers_it(judged(state, **changed), QUESTION) is answers


def test_the_later_verdict_holds_but_an_undecided_one_takes_nothing_back() -> None:
    """Runs are given oldest first."""
    within, worse, open_ = (judged(state) for state in (State.WITHIN_MARGIN, State.DEGRADED, State.INCONCLUSIVE))
    assert known([within, worse, open_], QUESTION) == {"q8_0/q8_0": worse}
    assert known([open_, within], QUESTION) == {"q8_0/q8_0": within}
    assert known([], QUESTION) == {}

"""The evidence in reports: one section of HTML, one table of the terminal, plain JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf

import pytest
from pydantic import TypeAdapter

from kvassay.assay.evidence import Row, TrialEvidence
from kvassay.assay.floor import Floor
from kvassay.assay.follow import NO_WORK
from kvassay.assay.passage import PassageScore
from kvassay.backend import base
from kvassay.dialect.canvas import TokenRole
from kvassay.report.evidence_view import Calls, EvidenceView, build_evidence, evidence_lines
from kvassay.report.html import _environment
from kvassay.stats.divergence import Bounds
from kvassay.types import Channel, TrialKey

ARMS = ("f16/f16 #2", "q4_0/f16")
HOSTILE = "</script><img src=x onerror=alert(1)>"


def trial(arm: str, depth: int, *, flip: bool, high: float = 0.8) -> TrialEvidence:
    rows = tuple(
        Row(n, role, n, "x", -0.1, -0.3, None if flip and n else 1, flip=flip and n == 1, same=not flip,
            kl_low=0.25 * flip, kl_high=high)
        for n, role in enumerate([TokenRole.PUNCTUATION, TokenRole.TOOL])
    )  # fmt: skip
    return TrialEvidence(TrialKey(arm, depth, "p", Channel.RAW), rows, hidden=int(flip), unreached=0)


def built(*, arm: str = "q4_0/f16", high: float = 0.8) -> EvidenceView:
    arms = (ARMS[0], arm)
    scores = {name: PassageScore((Bounds(-1 - n, -1 - n),), 1, NO_WORK) for n, name in enumerate(("f16/f16", *arms))}
    view = build_evidence(
        [trial(name, depth, flip=name == arm, high=high) for name in arms for depth in (2048, 8192)],
        arms=arms,
        reference="f16/f16",
        top_n=20,
        floors=[Floor(-50, 0.0006, 2, NO_WORK)],
        passages=scores,
        calls={arm: Calls(0, 60)},
    )
    assert view
    return view


def html(view: EvidenceView | None) -> str:
    return _environment().get_template("evidence.html.j2").render(evidence=view)


def test_the_section_says_what_breaks_and_shows_each_count() -> None:
    page = html(built())
    assert "Which tokens break" in page
    assert "q4_0/f16 flips 2 of 4 positions (50.0 %)" in page
    assert '<td class="num heat h0" title="100 % of 2">2/2</td>' in page
    assert '<td class="num">&gt; 20</td>' in page  # the tool's name lies beyond the list
    assert "Divergences below 0.0006 nats are rounding." in page
    assert "q4_0/f16: Perplexity 7.39× the reference&#39;s (n = 1 tokens), tool calls 0 of 60." in page
    assert "Not compared under q4_0/f16: 2 parts of characters" in page


def test_how_long_a_list_gets_is_the_back_ends_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs with whole vocabularies at hand."""
    whole = replace(built(), tail=1e-6)
    assert f"or {base.MOST_LISTED:,} are listed" in html(whole)
    monkeypatch.setattr("kvassay.report.evidence_view.MOST_LISTED", 99)
    assert "until 1e-06 of the probability is left or 99 are listed" in html(whole)


def test_an_arm_that_did_not_engage_is_the_first_thing_said() -> None:
    page = html(built())
    assert page.index("f16/f16 #2 equals the reference to the last digit at all 4 compared positions") < page.index(
        "flips 2 of 4"
    )


def test_how_the_divergence_goes_with_the_context_follows_what_breaks() -> None:
    """On the page and in the terminal, in the arm's own paragraph; what is rounding by the floors' word is not said."""
    trials = [
        replace(
            one,
            key=replace(one.key, probe=f"recall/{depth}{n}"),
            rows=tuple(replace(row, kl_low=kl + n / 99, kl_high=kl + n / 98) for row in one.rows),
        )
        for depth, kl in ((2048, 0.1), (8192, 0.6))
        for n in range(9)
        for one in [trial("q4_0/f16", depth, flip=True)]
    ]
    view = build_evidence(trials, arms=["q4_0/f16"], reference="f16/f16", top_n=20)
    assert view
    said = "the longer the context, the further from the reference q4_0/f16 is: mean KL 0.14 nats at 2k and 0.64 nats"
    assert said in html(view)
    assert any(said in line for line in evidence_lines(view))
    rounding = build_evidence(
        trials, arms=["q4_0/f16"], reference="f16/f16", top_n=20, floors=[Floor(-50, 0.9, 2, NO_WORK)]
    )
    assert rounding
    assert "the longer the context" not in html(rounding)


def test_without_evidence_there_is_no_section() -> None:
    assert html(None).strip() == ""
    assert build_evidence([], arms=ARMS, reference="f16/f16", top_n=20) is None


def test_hostile_labels_stay_text() -> None:
    page = html(built(arm=HOSTILE))
    assert "<img" not in page
    assert "</script" not in page


def test_the_terminals_lines_hold_findings_sentences_and_what_was_left_out() -> None:
    lines = list(evidence_lines(built()))
    assert "did not engage" in lines[0]
    assert any(line.startswith("Not compared under q4_0/f16: 2 parts") for line in lines)
    assert lines[-1].endswith("tool calls 0 of 60.")


def test_a_divergence_without_an_upper_bound_is_said_to_be_one() -> None:
    view = built(high=inf)
    assert "(mean KL at least 0 nats)" in html(view)
    assert '<td class="num">–</td>' in html(view)


def test_the_view_is_json_as_it_is() -> None:
    """No infinities, no keys that are not text: the JSON report can hold it."""
    for view in (built(), built(high=inf), replace(built(), resolution=None)):
        data = json.loads(json.dumps(TypeAdapter(EvidenceView).dump_python(view, mode="json"), allow_nan=False))
        assert data["arms"][1]["cells"][0]["flips"] == 2
        assert data["arms"][1]["first_flips"][0]["roles"] == {"tool": 2}

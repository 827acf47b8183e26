"""Two stored runs side by side: only where they asked the same, and saying in what they differ."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from assay.test_runner import Told, settings, suite
from kvassay.assay.arms import arms_of
from kvassay.assay.comparing import Change, compare
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.errors import StoreMismatch
from kvassay.settings import RunSettings
from kvassay.types import OutcomeClass


class Answers(Told):
    """A server of a build whose candidate is right or not, whatever it is asked."""

    def __init__(self, build: str, *, candidate_right: bool) -> None:
        super().__init__(lambda _: {"build": build})
        self.script = lambda prompt, arm: self._call(prompt, right=candidate_right or arm.kv.k == "f16")

    def _call(self, prompt: str, *, right: bool) -> str:
        number = prompt.rpartition("Get number ")[2].partition(".")[0] if right else "99"
        return f'<tool_call>\n{{"name": "get", "arguments": {{"id": {number}}}}}\n</tool_call>'


def made(store: Store, wanted: RunSettings, backend: Answers, model: str = "m") -> StoredRun:
    arms = arms_of(wanted, backend.cache_types)
    return run(Job(wanted, backend, Sample(model), arms, questions_of(wanted), store))


def asked(tmp_path: Path, **changes: object) -> RunSettings:
    return settings(suite=suite(tmp_path, depth=None), channels="raw", stopping="fixed", **changes)


def test_a_build_that_breaks_a_pair_is_found_and_named(tmp_path: Path) -> None:
    """The candidate that was right under b1 and is wrong under b2 is worse; the reference is not called anything."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        after = made(store, asked(tmp_path), Answers("b2", candidate_right=False))
        result = compare(before, after)
        assert result.differences == (("build", "b1", "b2"),)
        changes = {arm.first: arm.change for arm in result.arms}
        assert changes["q4_0/f16"] is Change.WORSE
        assert changes["f16/f16"] is Change.UNDECIDED
        assert {arm.first: arm.change for arm in compare(after, before).arms}["q4_0/f16"] is Change.BETTER


def test_other_questions_are_refused_field_by_field(tmp_path: Path) -> None:
    """Another answer length is another question; both values are named."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        after = made(store, asked(tmp_path, max_tokens=128), Answers("b1", candidate_right=True))
        with pytest.raises(StoreMismatch, match=r"max_tokens: 256 and 128"):
            compare(before, after)


def test_two_differences_at_once_are_refused_unless_allowed(tmp_path: Path) -> None:
    """Nobody could say whether the model or the build did it."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        after = made(store, asked(tmp_path), Answers("b2", candidate_right=True), model="other")
        with pytest.raises(StoreMismatch, match=r"differ in model and build at once") as caught:
            compare(before, after)
        assert "--allow model --allow build" in str(caught.value)
        assert compare(before, after, allowed=("model", "build")).arms


def test_rotation_on_and_off_are_matched_by_their_types(tmp_path: Path) -> None:
    """q4_0/f16 and q4_0/f16 norot are the same pair with and without; what one run alone has is named."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        after = made(store, asked(tmp_path, pairs="q4_0/f16 norot,q8_0/f16"), Answers("b1", candidate_right=False))
        result = compare(before, after)
        assert ("q4_0/f16", "q4_0/f16 norot") in {(arm.first, arm.second) for arm in result.arms}
        assert result.alone == ("q8_0/f16",)


def test_raw_answers_are_not_compared_with_parsed_ones(tmp_path: Path) -> None:
    """What the model said and what the server made of it are two endpoints; a share of parsed probes beside is none."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        raw = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        through_chat = asked(tmp_path).model_copy(update={"channels": ("parsed",)})
        parsed = made(store, through_chat, Answers("b1", candidate_right=True))
        with pytest.raises(StoreMismatch, match=r"channels: \('raw',\) and \('parsed',\)"):
            compare(raw, parsed)


def test_clean_answers_elsewhere_do_not_clear_a_build_that_breaks_one_depth(tmp_path: Path) -> None:
    """Six of six calls are lost at 8k, none of 30 without a session: over all that is within a margin of 40 points."""
    short, deep = (suite(tmp_path, depth=depth).read_text().splitlines() for depth in (None, 8192))
    cases = [line.replace('"case-', f'"case-{copy}-') for copy in range(3) for line in short][:30]
    path = tmp_path / "both.jsonl"
    path.write_text("\n".join([*cases, *deep[:6]]))
    wanted = settings(suite=path, channels="raw", stopping="fixed", depths="8k", margin=0.4)
    after_session = Answers("b2", candidate_right=True)
    after_session.script = lambda prompt, arm: after_session._call(
        prompt, right=len(prompt) < 4096 or arm.kv.k == "f16"
    )
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, wanted, Answers("b1", candidate_right=True))
        changes = {arm.first: arm for arm in compare(before, made(store, wanted, after_session)).arms}
    broken = changes["q4_0/f16"]
    assert (broken.effect.pairs, broken.effect.lost, broken.effect.low > -0.4) == (36, 6, True)
    assert broken.change is Change.UNDECIDED
    assert changes["f16/f16"].change is Change.SAME


def test_nothing_is_said_of_an_arm_that_lost_too_many_pairs_to_faults(tmp_path: Path) -> None:
    """Whether the faults hid right or wrong calls nobody knows."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        before = made(store, asked(tmp_path), Answers("b1", candidate_right=True))
        after = made(store, asked(tmp_path), Answers("b2", candidate_right=False))
        numbers = before.record.id, after.record.id
    fault = "update trials set outcome = ? where run = ? and arm = 'q4_0/f16'"
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as database, database:
        database.execute(fault, (OutcomeClass.PARSER_FAULT.value, numbers[1]))
    with Store(tmp_path / "s.sqlite") as store:
        changes = {arm.first: arm.change for arm in compare(*map(store.run, numbers)).arms}
    assert changes["q4_0/f16"] is Change.INVALID
    assert changes["f16/f16"] is Change.UNDECIDED


def test_whatever_else_differs_is_told(tmp_path: Path) -> None:
    """How servers were started and what made the store stand beside model, build and hardware."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        wanted = asked(tmp_path)
        before = made(store, wanted, Answers("b1", candidate_right=True))
        started = wanted.model_copy(update={"flash_attention": "off", "top_n": 3})
        after = made(store, started, Answers("b1", candidate_right=True))
        assert compare(before, before).differences == ()
        assert compare(before, after).differences == (("top_n", 20, 3), ("flash_attention", "auto", "off"))
        older = before.record.manifest.model_copy(update={"kvassay_version": "0"})
        after.record = replace(before.record, manifest=older)
        ((name, _, version),) = compare(before, after).differences
        assert (name, version) == ("kvassay_version", "0")

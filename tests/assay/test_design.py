"""The design: how much room a run needs, what it holds, and that nothing unequal is put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import values
from kvassay.assay.arms import arms_of
from kvassay.assay.design import (
    BESIDE_THE_DESIGN,
    Sample,
    check_room,
    context_tokens,
    require_equal,
    require_resumable,
    stated,
)
from kvassay.assay.prepare import questions_of
from kvassay.assay.records import Design
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.errors import ConfigError, StoreMismatch
from kvassay.settings import RunSettings, check


def settings(**changes: object) -> RunSettings:
    return check({"model": "m", "pairs": "q8_0", **changes})


def room(wanted: RunSettings, trained_tokens: int | None) -> None:
    check_room(wanted, questions_of(wanted), trained_tokens)


def context(wanted: RunSettings) -> int:
    return context_tokens(wanted, questions_of(wanted))


def suite(folder: Path, *, chars: int = 10, **fields: object) -> Path:
    case = {"id": "a", "messages": [{"role": "user", "content": "x" * chars}], "tools": [], "expected": "no call"}
    (folder / "s.jsonl").write_text(json.dumps({**case, **fields}))
    return folder / "s.jsonl"


@given(st.integers(1, 100_000), st.integers(16, 2000))
def test_the_context_holds_the_deepest_session_a_question_and_an_answer(depth: int, answer: int) -> None:
    """Two per cent more than the depth, padded to 256 as llama.cpp does, and less than one pad wasted."""
    need = depth * 1.02 + 1536 + answer
    assert need - 1 <= context(settings(depths=[depth], max_tokens=answer)) < need + 256


@given(st.integers(1, 200_000), st.integers(16, 2000))
def test_the_depth_named_when_a_depth_is_too_great_really_fits(trained: int, answer: int) -> None:
    """Following the hint never leads to a second refusal."""
    with pytest.raises(ConfigError) as caught:
        room(settings(depths="300k", max_tokens=answer), trained)
    depth = int(caught.value.hint.split()[-1].rstrip(".").replace(",", ""))
    if depth:
        room(settings(depths=[depth], max_tokens=answer), trained)
    else:
        with pytest.raises(ConfigError):
            room(settings(depths=[300], max_tokens=answer), trained)


def test_a_model_that_tells_no_context_is_not_limited() -> None:
    """Attached servers and odd headers say nothing."""
    room(settings(depths="1m"), None)


def test_the_users_context_is_taken_at_its_word_where_it_can_hold_the_depth() -> None:
    """A tight one is allowed, since our own room is an estimate; an impossible one is refused with both numbers."""
    room(settings(depths="2k", context="2500"), 2560)
    with pytest.raises(ConfigError, match="depth 4,096 and an answer of 256 tokens don't fit --context 4,200"):
        room(settings(depths="4k", context=4200), 8192)
    with pytest.raises(ConfigError, match="context of 9,000 tokens is needed; the model was trained for 8,192"):
        room(settings(depths="4k", context=9000), 8192)


def test_cases_that_stand_alone_need_no_room_for_a_session(tmp_path: Path) -> None:
    """The default depths are those of our families, which don't run here."""
    assert context(settings(suite=suite(tmp_path))) <= 1024  # less than half of the shallowest default depth
    assert context(settings(suite=suite(tmp_path, chars=8000))) >= 4000 + 256


def test_a_cases_own_depth_decides_although_depths_says_less(tmp_path: Path) -> None:
    """A case asked at 20k needs a context of 20k, whether 20000 or 20000.0 stands in the file."""
    for depth in (20_000, 20_000.0):
        wanted = settings(suite=suite(tmp_path, depth=depth), depths="2k")
        assert context(wanted) > 20_400
        with pytest.raises(ConfigError, match="depth 20,000"):
            room(wanted, 16_384)


def test_every_unequal_field_is_named_with_both_values() -> None:
    """And an equal one is not."""
    with pytest.raises(StoreMismatch) as caught:
        require_equal(values.design(), {"seed": 3, "build": "b2", "backend": "embedded", "channels": ("raw", "parsed")})
    assert caught.value.message.splitlines()[1:] == [
        "  build: None in the store, 'b2' now",
        "  seed: 0 in the store, 3 now",
        "  channels: ('raw',) in the store, ('raw', 'parsed') now",
    ]
    require_equal(values.design(), values.design().model_dump(include={"seed", "build"}))


def known(wanted: RunSettings) -> dict[str, object]:
    return stated(wanted, Sample("m"), arms_of(wanted, LLAMA_TYPES), questions_of(wanted))


@pytest.mark.parametrize(
    "change",
    [{"depths": "4k"}, {"dialect": "hermes"}, {"corpus": "."}, {"gpu_layers": 3}, {"flash_attention": "on"},
     {"seed": 1}, {"families": "recall"}, {"pairs": "q4_0"}, {"reference": "q8_0"}, {"repeat": False},
     {"probes_per_family": 3}, {"levels": "1"},
     {"channels": "raw"}, {"parsed_share": 0.5}, {"max_tokens": 99}, {"top_n": 1},
     {"context": "64k"}, {"threads": 3}, {"alpha": 0.01}, {"margin": 0.1}, {"server_args": ["-x"]}],
)  # fmt: skip
def test_no_setting_that_decides_results_may_change_on_resumption(change: dict[str, object]) -> None:
    """Whether it stands in the design or beside it, the changed setting is refused."""
    before = settings()
    fields = {**values.design().model_dump(), **known(before)}
    manifest = values.manifest().model_copy(
        update={"design": Design.model_validate(fields), "settings": before.model_dump(mode="json")}
    )
    require_resumable(manifest, before, known(before))
    require_resumable(manifest, settings(port=8080), known(settings(port=8080)))
    with pytest.raises(StoreMismatch, match="in the store"):
        require_resumable(manifest, settings(**change), known(settings(**change)))


def test_settings_beside_the_design_exist() -> None:
    """A renamed setting must not slip out of the comparison."""
    assert set(BESIDE_THE_DESIGN) <= set(RunSettings.model_fields)

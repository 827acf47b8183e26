"""Following another arm's answer: which positions are found, what is left out, and what it costs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.assay.follow import NO_WORK, Said, follow, placed, said
from kvassay.backend.base import Boot, Sampling
from kvassay.backend.scripted import Scripted, decode
from kvassay.types import Arm, Completion, KVConfig, Position, Stop

PROMPT = "ask:"
ANSWER = '{"name": "read_file", "arguments": {"path": "src/kvassay/types.py", "line": 17}}'


@contextmanager
def boot_of(answer: str, flips: Collection[int] = ()) -> Iterator[Boot]:
    """A boot that says the answer's next token behind any beginning of it, but ``¿`` at the places of flips."""
    with Scripted(lambda _prompt, _arm: "").open(Arm(KVConfig("f16", "f16")), context_tokens=4000) as plain:
        path = plain.tokenize(answer)

    def script(prompt: str, _arm: Arm) -> str:
        behind = prompt.removeprefix(PROMPT)
        at = next(n for n in range(len(path) + 1) if decode(path[:n]) == behind)
        return "".join("¿" if n in flips else decode(path[n : n + 1]) for n in range(at, len(path)))

    with Scripted(script).open(Arm(KVConfig("q4_0", "f16")), context_tokens=4000) as boot:
        yield boot


def positions_of(tokens: Collection[int]) -> tuple[Position, ...]:
    return tuple(Position(token, str(token), -0.1) for token in tokens)


@settings(max_examples=30, deadline=None)
@given(flips=st.sets(st.integers(0, 50)), asked_before=st.booleans())
def test_every_position_is_what_the_boot_says_behind_the_references_tokens(
    flips: set[int], *, asked_before: bool
) -> None:
    with boot_of(ANSWER, flips) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        known = said(boot.complete(prompt, Sampling(max_tokens=99, top_n=3))) if asked_before else None
        followed = follow(boot, prompt, path, top_n=3, known=known, max_requests=1000)
        one_by_one = [
            boot.complete((*prompt, *path[:at]), Sampling(max_tokens=1, top_n=3)).positions[0]
            for at in range(len(path))
        ]
    assert list(followed.positions) == one_by_one
    assert (followed.hidden, followed.unreached) == (0, 0)


def test_an_answer_that_agrees_with_the_path_costs_no_request() -> None:
    with boot_of(ANSWER) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        known = said(boot.complete(prompt, Sampling(max_tokens=99, top_n=3)))
        followed = follow(boot, prompt, path, top_n=3, known=known)
    assert followed.requests == 0
    assert followed.timings == NO_WORK
    assert followed.positions == known.positions


def test_behind_a_flip_chunks_double_while_both_agree() -> None:
    with boot_of(ANSWER, {3}) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        known = said(boot.complete(prompt, Sampling(max_tokens=99, top_n=3)))
        followed = follow(boot, prompt, path, top_n=3, known=known)
    left = len(path) - 4
    assert followed.requests == left.bit_length()  # 1 + 2 + 4 + …
    assert followed.timings.predicted_tokens == left
    assert followed.timings.processed_tokens == followed.requests  # the cache leaves one prompt token to each


@settings(max_examples=20, deadline=None)
@given(flips=st.sets(st.integers(0, 50), max_size=12))
def test_flips_waste_fewer_tokens_than_the_path_has(flips: set[int]) -> None:
    with boot_of(ANSWER, flips) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        followed = follow(boot, prompt, path, top_n=3, max_requests=1000)
    assert followed.timings.predicted_tokens <= 2 * len(path)


def test_what_the_budget_leaves_out_is_counted() -> None:
    with boot_of(ANSWER, range(0, 40, 2)) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        followed = follow(boot, prompt, path, top_n=3, max_requests=5)
    assert followed.requests == 5
    assert followed.unreached == followed.positions.count(None) == len(path) - 5  # every other request flips
    assert followed.hidden == 0


def test_no_path_costs_nothing() -> None:
    with boot_of(ANSWER) as boot:
        assert follow(boot, boot.tokenize(PROMPT), (), top_n=3).positions == ()


def test_an_arm_that_stops_early_is_asked_again_behind_the_next_token() -> None:
    """A back end that shows no token for the end of the turn: its place is left out and counted, the rest goes on."""
    with Scripted(lambda prompt, _: "" if prompt == PROMPT + "ab" else "=1" if prompt == PROMPT + "ab=" else "ab").open(
        Arm(KVConfig("f16", "f16")), context_tokens=100
    ) as boot:
        path = boot.tokenize("ab=1")
        followed = follow(boot, boot.tokenize(PROMPT), path, top_n=2)
    assert [position is None for position in followed.positions] == [False, True, False]
    assert followed.hidden == 1


def test_a_free_answer_without_tokens_is_not_taken_for_one() -> None:
    with boot_of(ANSWER) as boot:
        prompt, path = boot.tokenize(PROMPT), boot.tokenize(ANSWER)
        assert follow(boot, prompt, path, top_n=2, known=Said((), ())).hidden == 0


# --------------------------------------------------------------------------- characters of several tokens


characters = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), max_size=8)


@given(characters, st.lists(st.integers(0, 4), max_size=2))
def test_a_position_is_never_put_at_a_wrong_place(said_characters: list[list[int]], cut: list[int]) -> None:
    """However often the same ids come again: each is at its own character's last token, or left out."""
    tokens = tuple(token for character in said_characters for token in character) + tuple(cut)
    ends, at = [], -1
    for character in said_characters:
        at += len(character)
        ends.append(at)
    positions = positions_of([tokens[end] for end in ends])
    true = dict(zip(ends, positions, strict=True))
    found = placed(Said(tokens, positions))
    assert len(found) == len(tokens)
    assert all(position is None or position is true.get(place) for place, position in enumerate(found))


def test_the_last_token_of_a_character_has_its_position() -> None:
    tokens, positions = (5, 10, 11, 12, 6), positions_of([5, 12, 6])
    assert placed(Said(tokens, positions)) == (positions[0], None, None, positions[1], positions[2])


def test_positions_that_are_not_among_the_tokens_are_left_out() -> None:
    assert placed(Said((1, 2, 3), positions_of([9]))) == (None, None, None)


def test_a_back_end_without_token_ids_has_those_of_its_positions() -> None:
    answer = Completion("ab", Stop.EOS, NO_WORK, (), positions_of([1, 2]))
    assert said(answer).tokens == (1, 2)


def test_hidden_tokens_of_a_character_are_counted() -> None:
    """With the emoji as llama.cpp reports it, both arms agreeing: two of three tokens have no position."""
    path, known = (1, 10, 11, 12, 2), Said((1, 10, 11, 12, 2), positions_of([1, 12, 2]))
    with Scripted([""]).open(Arm(KVConfig("f16", "f16")), context_tokens=100) as boot:
        followed = follow(boot, (7,), path, top_n=1, known=known)
    assert (followed.hidden, followed.unreached, followed.requests) == (2, 0, 0)


@pytest.mark.parametrize("limit", [0, 1])
def test_the_budget_is_never_exceeded(limit: int) -> None:
    with boot_of(ANSWER) as boot:
        followed = follow(boot, boot.tokenize(PROMPT), boot.tokenize(ANSWER), top_n=1, max_requests=limit)
    assert followed.requests == limit

"""The probe families: the right answer is right, what is nearly right is not, and every question has one answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.errors import ConfigError
from kvassay.grade import Context, grade
from kvassay.probe import FAMILIES, draw
from kvassay.session.ladder import climb
from kvassay.session.scene import Scene
from kvassay.types import Call, JsonObject, JsonValue, Outcome, OutcomeClass, Probe, Tool, Turn
from session.sessions import count, ladder, sources

FAMILY = st.sampled_from(sorted(FAMILIES))
SEED = st.integers(0, 2**31)
LEVEL = st.sampled_from((1, 2, 3))
CALLING = st.sampled_from(sorted(set(FAMILIES) - {"no_tool"}))

FOREIGN = (
    Tool(
        "bash",
        "Run a shell command.\nBe careful.",
        {
            "type": "object",
            "properties": {"command": {"type": "string"}, "timeout": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["command"],
        },
    ),
    Tool(
        "edit",
        "Edit a file.",
        {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "edits": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
                        "required": ["oldText", "newText"],
                    },
                },
            },
            "required": ["path", "edits"],
        },
    ),
    Tool(
        "read",
        "Read a file.",
        {
            "type": "object",
            "properties": {
                "filePath": {"type": "string"},
                "offset": {"type": "integer"},
                "limit": {"type": "integer"},
            },
            "required": ["filePath"],
        },
    ),
    Tool(
        "todoWrite",
        "Keep the list of things to do.",
        {
            "type": "object",
            "properties": {
                "todos": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "content": {"type": "string"},
                            "status": {"type": "string", "enum": ["pending", "done"]},
                        },
                        "required": ["content", "status"],
                    },
                }
            },
            "required": ["todos"],
        },
    ),
)


def scene(depth: int = 8192, tools: tuple[Tool, ...] | None = None) -> Scene:
    """What a session of some depth has established."""
    if tools is None:
        return ladder(1, depth).rungs[0].scene
    return climb(seed=1, tools=tools, corpus=sources(), depths=(depth,), count=count).rungs[0].scene


def made(family: str, seed: int, level: int, where: Scene | None = None) -> Probe:
    probe = FAMILIES[family].make(where or scene(), seed, level)
    assert probe is not None
    return probe


def graded(probe: Probe, turn: Turn, where: Scene | None = None) -> Outcome:
    """What the assay says of this answer."""
    where = where or scene()
    context = Context.from_messages((*where.messages, *probe.messages), where.tools)
    return grade(turn, probe, where.tools, context, check=FAMILIES[probe.family].check, max_tokens=200)


def saying(content: str) -> Turn:
    return Turn(text=content, content=content, calls=())


def calling(name: str, arguments: JsonObject) -> Turn:
    return Turn(text="{}", content="", calls=(Call(name, arguments),))


def right(probe: Probe) -> Turn:
    """The answer that the probe wants."""
    if probe.family == "no_tool":
        answers = probe.key["answers"]
        assert isinstance(answers, list)
        return saying(f"It is {answers[0]}.")
    (expected,) = probe.expected[0]
    arguments: JsonObject = {name: values[0] for name, values in expected.arguments.items()}
    if probe.family == "edit":
        old, new = changed_lines(probe)
        nested = "edits" in expected.optional
        arguments |= {"edits": [{"oldText": old, "newText": new}]} if nested else {"old_string": old, "new_string": new}
    return calling(expected.name, arguments)


def changed_lines(probe: Probe) -> tuple[str, str]:
    """The line that an edit quotes, and what takes its place: another, or itself and a new one behind it."""
    before, after = (str(probe.key[name]).split("\n") for name in ("before", "after"))
    at = next(index for index, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    if len(after) == len(before):
        return before[at], after[at]
    return before[at - 1], f"{before[at - 1]}\n{after[at]}"


def question(probe: Probe) -> str:
    return probe.messages[-1].content


@settings(deadline=None, max_examples=150)
@given(family=FAMILY, seed=SEED, level=LEVEL)
def test_the_right_answer_is_correct(family: str, seed: int, level: int) -> None:
    """Every family makes a probe for every seed and level, and its right answer is graded correct."""
    probe = made(family, seed, level)
    assert (probe.id, probe.level, probe.stands_alone) == (f"{family}/{seed}", level, False)
    assert graded(probe, right(probe)).correct


@settings(deadline=None, max_examples=150)
@given(family=CALLING, seed=SEED, level=LEVEL, data=st.data())
def test_an_answer_with_one_wrong_value_fails(family: str, seed: int, level: int, data: st.DataObject) -> None:
    """One character, number or choice off in any place, at any depth of the arguments, is not correct."""
    probe = made(family, seed, level)
    (call,) = right(probe).calls
    path = data.draw(st.sampled_from(leaves(call.arguments)))
    wrong = calling(call.name, altered(call.arguments, path))
    assert not graded(probe, wrong).correct


@settings(deadline=None, max_examples=100)
@given(family=CALLING, seed=SEED, level=LEVEL)
def test_other_near_misses_fail(family: str, seed: int, level: int) -> None:
    """Prose, a missing or an invented parameter, another tool and the call made twice are not correct."""
    probe = made(family, seed, level)
    turn = right(probe)
    (call,) = turn.calls
    first = next(iter(call.arguments))
    rest = {name: value for name, value in call.arguments.items() if name != first}
    other = next(tool.name for tool in scene().tools if tool.name != call.name)
    wrong = [
        saying("I will do that."),
        calling(call.name, rest),
        calling(call.name, {**call.arguments, "verbose": True}),
        calling(other, call.arguments),
        replace(turn, calls=(call, call)),
    ]
    assert [graded(probe, turn).correct for turn in wrong] == [False] * len(wrong)


@settings(deadline=None, max_examples=100)
@given(family=st.sampled_from(("recall", "nested", "confusable")), seed=SEED, level=LEVEL)
def test_the_question_states_every_value(family: str, seed: int, level: int) -> None:
    """Only the tool and its parameters' names must be recalled: each value stands literally in the question."""
    probe = made(family, seed, level)
    for _, value in values_of(right(probe).calls[0].arguments):
        assert (str(value).lower() if isinstance(value, bool) else str(value)) in question(probe)


@settings(deadline=None, max_examples=60)
@given(seed=SEED, level=LEVEL)
def test_an_argument_is_in_the_session_and_not_in_the_question(seed: int, level: int) -> None:
    """The id or path asked for occurred earlier; the question only describes it."""
    probe = made("argument", seed, level)
    arguments = right(probe).calls[0].arguments
    asked = next(str(arguments[name]) for name in ("ticket", "job_id", "file_path") if name in arguments)
    said = "\n".join(message.content for message in scene().messages)
    assert asked in said
    assert asked not in question(probe)


@settings(deadline=None, max_examples=60)
@given(seed=SEED, level=st.sampled_from((2, 3)))
def test_a_described_line_is_the_only_one(seed: int, level: int) -> None:
    """The question names a line by what it does; only one line does it, and its text is for the model to recall."""
    probe = made("edit", seed, level)
    verb, name = question(probe).partition(". Answer")[0].split()[-2:]
    signs = {"defines": rf"(def|class) {name}\b", "assigns": rf"(?<![\w.]){name} =", "calls": rf"(?<![\w.]){name}\("}
    lines = [line.strip() for line in str(probe.key["before"]).splitlines() if re.search(signs[verb], line)]
    assert lines == [changed_lines(probe)[0].strip()]
    assert lines[0] not in question(probe)


@settings(deadline=None, max_examples=60)
@given(seed=SEED, level=LEVEL)
def test_an_edit_is_judged_by_what_becomes_of_the_file(seed: int, level: int) -> None:
    """Less or more context is as good; what is not there, is there twice or leaves another file is not."""
    probe = made("edit", seed, level)
    name, path = "edit_file", probe.key["path"]
    old, new = changed_lines(probe)

    def outcome(before: str, after: str) -> OutcomeClass:
        turn = calling(name, {"file_path": path, "old_string": before, "new_string": after})
        return graded(probe, turn).kind

    assert outcome(old.strip(), new.strip()) is OutcomeClass.CORRECT
    assert outcome(f"{old}\n", f"{new}\n") is OutcomeClass.CORRECT
    assert outcome(old, f"{new}\n") is OutcomeClass.CORRECT
    *kept, last = new.split("\n")
    shifted = "\n".join([*kept, f" {last}"])
    assert (outcome(old, shifted) is OutcomeClass.CORRECT) == (level > 1)  # a new line alone may stand anywhere
    assert outcome(f"{old}~", new) is OutcomeClass.VERBATIM_MISS
    assert outcome(old[:-1], new) is OutcomeClass.WRONG_VALUE
    assert outcome("", new) is OutcomeClass.WRONG_VALUE
    assert outcome("e", new) is OutcomeClass.WRONG_VALUE


def test_every_edit_of_a_list_is_judged() -> None:
    """Several edits are applied one after the other; none, or one too many, is not the wanted edit."""
    probe = FAMILIES["edit"].make(foreign_scene(), 3, 2)
    assert probe is not None
    old, new = changed_lines(probe)
    whole: JsonObject = {"oldText": old, "newText": new}
    marked: JsonObject = {"oldText": old, "newText": f"{old}~"}
    unmarked: JsonObject = {"oldText": f"{old}~", "newText": new}

    def outcome(*edits: JsonValue) -> OutcomeClass:
        turn = calling("edit", {"path": probe.key["path"], "edits": list(edits)})
        return graded(probe, turn, foreign_scene()).kind

    assert outcome(whole) is OutcomeClass.CORRECT
    assert outcome(marked, unmarked) is OutcomeClass.CORRECT
    assert outcome() is OutcomeClass.WRONG_VALUE
    assert outcome(whole, {"oldText": "not there~", "newText": "x"}) is OutcomeClass.VERBATIM_MISS
    assert outcome(marked, {"oldText": f"{old}~", "newText": old}) is OutcomeClass.WRONG_VALUE


def test_a_verbatim_miss_says_how_far_off_it_was() -> None:
    """The edit distance to the nearest stretch of the file is kept."""
    probe = made("edit", 3, 2)
    old, new = changed_lines(probe)
    slip = old[:-2] + "~" + old[-1:]
    turn = calling("edit_file", {"file_path": probe.key["path"], "old_string": slip, "new_string": new})
    assert graded(probe, turn).edit_distance == 1


def test_silence_and_noise_are_no_answers() -> None:
    """Where no call is right, an empty text, soup or a call fail all the same."""
    probe = made("no_tool", 1, 2)
    assert not graded(probe, saying("")).correct
    assert not graded(probe, saying("the the of ( ( [")).correct
    assert graded(probe, calling("list_open", {"what": "jobs"})).kind is OutcomeClass.WRONG_TOOL


@settings(deadline=None, max_examples=60)
@given(seed=SEED, level=LEVEL)
def test_a_question_said_over_is_no_answer(seed: int, level: int) -> None:
    """No question holds its own answer, though "definition" holds ``def`` and a class definition says "class"."""
    probe = made("no_tool", seed, level)
    assert not graded(probe, saying(question(probe))).correct


@pytest.mark.parametrize(
    ("answer", "says", "right"),
    [
        ("def", "The keyword `def` starts a function definition.", True),
        ("def", "The keyword `function` starts a function definition.", False),
        ("class", "A class definition starts with `class`.", True),
        ("class", "The keyword `type` starts a class definition.", False),
        ("len", "`len()` does.", True),
        ("len", "`length()` does.", False),
        ("py", "They end in .py", True),
        ("8", "A byte has 8 bits.", True),
        ("8", "A byte has 128 bits.", False),
        ("comma", "Values separated by commas.", True),
        ("comma", "Command Set Values.", False),
        (";", "x = 1;", True),
    ],
)
def test_an_answer_is_a_word_of_its_own(answer: str, says: str, *, right: bool) -> None:
    """A wrong answer is not right because another word or number holds the right one."""
    probes = (made("no_tool", seed, 3) for seed in range(200))
    probe = next(probe for probe in probes if answer in cast("list[str]", probe.key["answers"]))
    assert graded(probe, saying(says)).correct is right


@pytest.mark.parametrize("depth", [2048, 8192, 32768])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_as_many_distinct_probes_as_asked(family: str, depth: int) -> None:
    """Ten of each family even at 2k tokens, no question twice, levels mixed."""
    drawn = draw(scene(depth), families=(family,), per_family=10, seed=4)
    assert len({question(probe) for probe in drawn}) == len(drawn) == 10
    assert {probe.level for probe in drawn} == {1, 2, 3}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000))
def test_drawing_is_deterministic_and_ids_are_stable(seed: int) -> None:
    """Equal seeds draw equal probes, and asking for more keeps the first ones."""
    few = draw(scene(), families=("recall", "edit"), per_family=3, seed=seed)
    many = draw(scene(), families=("edit", "recall"), per_family=6, seed=seed)
    assert {probe.id: probe for probe in many}.items() >= {probe.id: probe for probe in few}.items()


@pytest.mark.parametrize("per_family", [1, 2, 8])
def test_each_rung_asks_questions_of_its_own_and_as_hard(per_family: int) -> None:
    """No id twice in a ladder; the same mix of levels at every depth, so that depth is not difficulty."""
    rungs = [draw(scene(), families=("recall", "edit"), per_family=per_family, seed=3, rung=rung) for rung in range(5)]
    ids = {probe.id for drawn in rungs for probe in drawn}
    assert len(ids) == 5 * 2 * per_family
    assert len({tuple(sorted(Counter(probe.level for probe in drawn).items())) for drawn in rungs}) == 1
    assert draw(scene(), families=("recall",), per_family=1, seed=4)[0].id not in ids


def test_levels_can_be_chosen() -> None:
    """A weak model can be asked the easy questions only; they are the ones a full draw would ask."""
    easy = draw(scene(), families=tuple(FAMILIES), per_family=4, seed=1, levels=(1,))
    everything = draw(scene(), families=tuple(FAMILIES), per_family=12, seed=1)
    assert {probe.level for probe in easy} == {1}
    assert {probe.id for probe in easy} <= {probe.id for probe in everything}


@pytest.mark.parametrize(("families", "levels"), [(("recal",), (1,)), (("recall",), (4,)), (("recall",), ())])
def test_what_cannot_be_drawn_is_refused(families: tuple[str, ...], levels: tuple[int, ...]) -> None:
    """An unknown family or level is the user's mistake and named."""
    with pytest.raises(ConfigError):
        draw(scene(), families=families, per_family=1, seed=1, levels=levels)


@settings(deadline=None, max_examples=60)
@given(seed=SEED, level=LEVEL, family=st.sampled_from(("recall", "nested", "argument", "edit", "no_tool")))
def test_families_work_on_any_agents_tools(seed: int, level: int, family: str) -> None:
    """On another tool list the right answers are valid calls of those tools, or the family has nothing to ask."""
    where = foreign_scene()
    probe = FAMILIES[family].make(where, seed, level)
    if probe is None:
        assert family == "argument"
        assert not where.known("hit")
        return
    assert graded(probe, right(probe), where).correct


def test_what_needs_our_own_tools_is_left_out() -> None:
    """Confusable names differ from list to list: without our tools there is nothing to ask."""
    assert draw(foreign_scene(), families=("confusable",), per_family=3, seed=1) == ()


_FOREIGN_SCENE: list[Scene] = []


def foreign_scene() -> Scene:
    """A session in another agent's tools, made once."""
    if not _FOREIGN_SCENE:
        _FOREIGN_SCENE.append(scene(8192, FOREIGN))
    return _FOREIGN_SCENE[0]


def values_of(value: JsonValue, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], JsonValue]]:
    """The values at the leaves, with the way to each."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in values_of(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in values_of(inner, (*path, index))]
    return [(path, value)]


def leaves(arguments: JsonObject) -> list[tuple[str | int, ...]]:
    return [path for path, _ in values_of(arguments)]


def altered(arguments: JsonObject, path: tuple[str | int, ...]) -> JsonObject:
    """The arguments with one leaf slightly off."""
    copy = json.loads(json.dumps(arguments))
    place = copy
    for step in path[:-1]:
        place = place[step]
    value = place[path[-1]]
    place[path[-1]] = (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
    return copy  # type: ignore[no-any-return]

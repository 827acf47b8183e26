"""The turn loop on the scripted back end: how episodes end, which loops are seen, what the model is told."""

from __future__ import annotations

import json

import pytest

from kvassay.backend.base import Sampling
from kvassay.backend.scripted import Scripted
from kvassay.grade.loops import LoopKind
from kvassay.loops.episode import Ending, Episode, Rules, play
from kvassay.loops.families import make
from kvassay.loops.record import from_row, to_row
from kvassay.loops.replies import voice_of
from kvassay.loops.tasks import to_probe
from kvassay.session.tools import TOOLS
from kvassay.types import Arm, KVConfig, Message, OutcomeClass, Timings

TASK = make("constant", 0)
PATH, NEW = TASK.wants[0].path, TASK.wants[0].value
BAD = '<tool_call>\n{"name": "read_file", "arguments": {"file_path": "a}\n</tool_call>'


def says(tool: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


LINE = next(line for line in TASK.files[PATH].splitlines() if line.startswith(f"{TASK.wants[0].name} = "))
READ = says("read_file", file_path=PATH)
MISS = [says("edit_file", file_path=PATH, old_string=f"not there {n}", new_string="x") for n in range(9)]
RIGHT = says("edit_file", file_path=PATH, old_string=LINE, new_string=f"{TASK.wants[0].name} = {NEW}")


def played(
    *answers: str, agent: str = "opencode", turns: int = 8, context: int = 60_000, prompts: list[str] | None = None
) -> Episode:
    seen = prompts if prompts is not None else []

    def script(prompt: str, _arm: Arm) -> str:
        seen.append(prompt)
        return answers[min(len(seen), len(answers)) - 1]

    history = (Message("system", "You code."), *to_probe(TASK).messages)
    rules = Rules(TOOLS, voice_of(agent), "hermes", Sampling(max_tokens=400), turns, context)
    with Scripted(script).open(Arm(KVConfig("f16", "f16")), context_tokens=context) as boot:
        return play(boot, history, TASK, rules)


def test_an_episode_ends_with_the_turn_that_reaches_the_end_state() -> None:
    episode = played(READ, RIGHT, "never asked")
    assert (episode.ending, len(episode.steps), episode.missing) == (Ending.DONE, 2, ())
    assert episode.steps[0].replies == (TASK.files[PATH].rstrip(),)
    assert episode.loops == {}
    assert not any(step.failed for step in episode.steps)


def test_an_answer_in_words_gives_up_what_is_not_done() -> None:
    episode = played(READ, "Done.")
    assert episode.ending is Ending.GAVE_UP
    assert any(TASK.wants[0].name in fault for fault in episode.missing)


@pytest.mark.parametrize(
    ("answers", "kind", "turns", "ending"),
    [
        ([READ], LoopKind.IDENTICAL, 5, Ending.LOOPED),
        (MISS, LoopKind.CORRECTION, 5, Ending.LOOPED),
        ([READ, says("list_dir", path=".")] * 5, LoopKind.CYCLE, 10, Ending.LOOPED),
        ([BAD], LoopKind.IDENTICAL, 5, Ending.LOOPED),
        ([*MISS[:3], RIGHT], LoopKind.CORRECTION, 4, Ending.DONE),
        ([READ, READ, READ, RIGHT], LoopKind.IDENTICAL, 4, Ending.DONE),
    ],
)
def test_loops_are_told_by_the_guards_rules_and_end_an_episode_when_they_act(
    answers: list[str], kind: LoopKind, turns: int, ending: Ending
) -> None:
    episode = played(*answers, turns=12)
    assert kind in episode.loops
    assert (len(episode.steps), episode.ending) == (turns, ending)


def test_two_of_a_kind_are_no_loop_and_other_work_is_none() -> None:
    episode = played(READ, READ, MISS[0], says("list_dir", path="."), MISS[1], "I stop.")
    assert episode.loops == {}
    assert episode.ending is Ending.GAVE_UP


@pytest.mark.parametrize(
    ("agent", "turns", "ending"), [("qwen-code", 4, Ending.LOOPED), ("openclaw", 2, Ending.ABORTED)]
)
def test_an_agent_that_sends_the_same_request_again_is_l4(agent: str, turns: int, ending: Ending) -> None:
    """Qwen Code does so without end, OpenClaw once. The prompt is the same, token for token."""
    prompts: list[str] = []
    episode = played(BAD, agent=agent, prompts=prompts)
    assert (len(episode.steps), episode.ending) == (turns, ending)
    assert LoopKind.RESENT in episode.loops
    assert len(set(prompts)) == 1
    assert all(step.resent and step.failed for step in episode.steps)


def test_one_unreadable_call_that_is_mended_when_sent_again_is_a_recovery() -> None:
    episode = played(BAD, RIGHT, agent="qwen-code")
    assert episode.ending is Ending.DONE
    assert episode.loops == {LoopKind.RESENT: 1}
    assert [step.recovered for step in episode.steps] == [False, True]


def test_recovery_takes_at_most_two_failed_turns() -> None:
    assert [s.recovered for s in played(*MISS[:2], READ, "end").steps] == [False, False, True, False]
    assert not any(s.recovered for s in played(*MISS[:3], READ, "end").steps)


def test_giving_up_after_a_failure_is_no_recovery() -> None:
    assert not any(step.recovered for step in played(MISS[0], "I stop.").steps)


def test_nothing_unreadable_is_repaired_or_carried_out() -> None:
    """A truncated write, next to a right call in the same turn: neither happens."""
    truncated = '<tool_call>\n{"name": "write_file", "arguments": {"target_file": "x.py", "content": "x'
    episode = played(f"{RIGHT}\n{truncated}", "end")
    assert episode.ending is Ending.GAVE_UP
    assert not any("x.py" in fault for fault in episode.missing)
    assert episode.steps[0].failed
    assert episode.steps[0].outcome in (OutcomeClass.JSON_INVALID, OutcomeClass.DEGENERATE)


@pytest.mark.parametrize(
    ("agent", "shown", "hidden"),
    [
        ("opencode", '"name": "invalid"', '{"file_path": "a}'),
        ("pi", 'Validation failed for tool "read_file":', '"name": "invalid"'),
        ("codex", "failed to parse function arguments: ", '"name": "invalid"'),
    ],
)
def test_what_the_model_sees_of_its_unreadable_call_is_the_agents_way(agent: str, shown: str, hidden: str) -> None:
    """Opencode rewrites the history, the others leave it as it was said."""
    prompts: list[str] = []
    played(BAD, "end", agent=agent, prompts=prompts)
    after = prompts[1][len(prompts[0]) - 30 :]
    assert shown in after
    assert ('{"file_path": "a}' in after.partition("<|im_end|>")[0]) is (agent != "opencode")
    assert hidden not in after or agent == "opencode"


def test_an_edit_that_misses_is_m8_and_an_unknown_tool_m3() -> None:
    episode = played(MISS[0], says("grep", pattern="x"), says("read_file", path="x"), "end")
    kinds = [step.outcome for step in episode.steps]
    assert kinds == [OutcomeClass.VERBATIM_MISS, OutcomeClass.UNKNOWN_TOOL, OutcomeClass.MISSING_REQUIRED,
                     OutcomeClass.CORRECT]  # fmt: skip
    assert [step.wrong for step in episode.steps] == [
        ("old text not found",), ("unknown tool",), ("bad arguments",), ()
    ]  # fmt: skip


def test_it_ends_where_turns_or_context_end() -> None:
    paths = [says("read_file", file_path=PATH, start_line=n) for n in range(1, 9)]
    assert played(*paths, turns=3).ending is Ending.TURNS
    assert played(READ, context=900).ending is Ending.CONTEXT
    assert played(READ, context=900).steps == ()


def test_several_calls_of_a_turn_are_carried_out_in_order() -> None:
    episode = played(f"{READ}\n{RIGHT}")
    assert episode.ending is Ending.DONE
    assert len(episode.steps[0].calls) == len(episode.steps[0].replies) == 2


def test_a_server_that_reads_less_than_it_was_sent_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timings, "prompt_tokens", property(lambda _self: 10))
    episode = played(READ)
    assert episode.ending is Ending.INFRASTRUCTURE
    assert episode.ending.done is None


def test_an_answer_cut_by_the_limit_inside_a_call_is_degenerate() -> None:
    long = f'<tool_call>\n{{"name": "write_file", "arguments": {{"target_file": "x.py", "content": "{"ab c " * 900}'
    step = played(long, "end").steps[0]
    assert step.outcome is OutcomeClass.DEGENERATE
    assert step.failed


@pytest.mark.parametrize("answers", [(READ, RIGHT), (BAD,), tuple(MISS), ("",)])
def test_an_episode_survives_the_store(answers: tuple[str, ...]) -> None:
    episode = played(*answers)
    assert from_row(to_row(episode, arm="f16/f16", depth=0, boot=1)) == episode


@pytest.mark.parametrize("answer", [BAD.replace("read", "\ud83d"), "\ud83d" + MISS[0]])
def test_half_a_character_is_sent_back_as_a_replacement(answer: str) -> None:
    """No request can hold a lone surrogate, and models do write them."""
    prompts: list[str] = []
    episode = played(answer, "end", agent="codex", prompts=prompts)
    prompts[1].encode()
    assert "\ufffd" in prompts[1]
    assert [step.failed for step in episode.steps] == [True, False]

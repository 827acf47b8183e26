"""The timeline of a replayed session: what each arm did at each turn, and what can't be taken back."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from kvassay.report import build_view, print_report
from kvassay.report.counterfactual import counterfactual
from kvassay.report.explorer import right_words
from kvassay.report.html import render_html
from kvassay.report.replay_view import ReplayCell, ReplayRow, ReplayView, done_before
from kvassay.report.timeline import cell_sign, row_sentences, strip_lines, told_apart
from kvassay.types import Call, Channel, Message, OutcomeClass, ToolCall
from report.replayed_run import HISTORY, REMOVE, TEST, WRITE, ReplayedRun
from report.synthetic_run import SyntheticRun, verdict

BAD = "q4_0/f16"


def replayed(run: ReplayedRun) -> ReplayView:
    found = build_view(run, verdict(run)).replay
    assert found is not None
    return found


def row(view: ReplayView, arm: str) -> ReplayRow:
    return next(row for row in view.rows if row.arm == arm)


def test_a_run_that_replayed_nothing_has_no_timeline() -> None:
    """Nor has its page."""
    run = SyntheticRun()
    view = build_view(run, verdict(run))
    assert view.replay is None
    assert "Turn by turn" not in "".join(render_html(run, view))


def test_each_arm_has_a_cell_for_each_turn() -> None:
    """In the session's order, with what came out."""
    view = replayed(ReplayedRun())
    assert [(turn.name, turn.prompt_tokens, turn.succeeded) for turn in view.turns] == [
        ("1", 100, True), ("2", 200, True), ("3", 300, False),
    ]  # fmt: skip
    assert [cell.kind for cell in row(view, BAD).cells] == [
        OutcomeClass.CORRECT, OutcomeClass.CORRECT, OutcomeClass.WRONG_VALUE,
    ]  # fmt: skip
    assert ["".join(map(cell_sign, row.cells)) for row in view.rows] == ["✓✓✓", "✓✓✓", "✓✓✓", "✓✓!", "✓✓✓"]


def test_the_first_irreversible_call_that_neither_reference_nor_recording_made_is_found() -> None:
    """The writing at turn 2 is the recorded one; at turn 3 it is not."""
    view = replayed(ReplayedRun())
    bad = row(view, BAD)
    assert bad.first_other == 2
    assert bad.others == 1
    assert bad.cells[2].other == (
        'write(path="a.py", content="x")', 'bash(command="rm -rf .")',
    )  # fmt: skip
    assert all(other.first_other is None for other in view.rows if other is not bad)
    said = next(line for line in row_sentences(view) if line.startswith(BAD))
    assert "in 1 of 3 turns, first at turn 3" in said
    assert "graded wrong" in said


def test_irreversible_calls_that_had_been_done_already_are_counted() -> None:
    """Twice in one answer, and again after the session did it; the recorded call itself is no repetition."""
    bad = row(replayed(ReplayedRun()), BAD)
    assert [len(cell.repeats) for cell in bad.cells] == [0, 1, 1]
    assert bad.repeats == 2


def test_a_command_run_again_after_a_change_is_no_repetition() -> None:
    """A change that was made stays made; what failed was not done."""
    test, again = Message("assistant", "", (TEST,)), ToolCall("c9", "write", {"path": "b.py", "content": "y"})
    passed = Message("tool", "2 passed", tool_call_id="c3")
    assert len(done_before([*HISTORY, test, passed])) == 2
    changed = [Message("assistant", "", (again,)), Message("tool", "ok", tool_call_id="c9")]
    names = {one.partition(" ")[0] for one in done_before([*HISTORY, test, passed, *changed])}
    assert names == {"write"}
    assert (
        done_before([Message("assistant", "", (WRITE,)), Message("tool", "Error: denied", tool_call_id="c2")]) == set()
    )


def test_one_turn_asked_many_times_shows_the_commonest_answers() -> None:
    """A column for each answer, the greedy one first; each arm's answers counted."""
    view = replayed(ReplayedRun(seeds=3))
    assert view.is_one_turn
    assert [turn.name for turn in view.turns] == ["3", "s1", "s2", "s3"]
    (answer,) = row(view, BAD).answers
    assert (answer.count, answer.correct) == (4, False)
    assert REMOVE.name in answer.words
    assert "once greedily, and 3 times sampled at temperature 0.8" in view.notes[0]


def test_one_turns_page_opens_with_how_often_each_arm_was_right() -> None:
    """In the title and in the terminal: reference and candidates, counted, before any verdict."""
    run, out = ReplayedRun(seeds=3), StringIO()
    view = build_view(run, verdict(run))
    page = "".join(render_html(run, view))
    assert "<h1>Turn 3: 4 of 4 answers right under f16/f16, 4 of 4 under q8_0/q8_0, 0 of 4 under q4_0/f16.</h1>" in page
    assert "Same prompt, same seeds, same build: only the KV types differ." in page
    assert page.index("h-turns") < page.index("h-answers")
    print_report(view, Console(file=out, width=200))
    assert out.getvalue().startswith("Turn 3: 4 of 4 answers right under f16/f16, 4 of 4 under q8_0/q8_0, 0 of 4")


def test_one_turns_answers_stand_beside_each_other() -> None:
    """Those of the seed that tells the arms apart, whole, each with its outcome; the second boot is left out."""
    run = ReplayedRun(seeds=3)
    view = replayed(run)
    beside = counterfactual(run, view, Channel.RAW)
    assert beside.seed is None
    assert [answer.arm for answer in beside.answers] == ["f16/f16", "q8_0/q8_0", BAD, "f16/q4_0"]
    assert [answer.kind.value for answer in beside.answers] == ["correct", "correct", "M12", "correct"]
    assert "rm -rf ." in beside.answers[2].text


def test_the_answers_shown_are_those_where_the_reference_is_right_and_the_most_arms_are_wrong() -> None:
    """Where the reference never is, the greedy ones: no seed is picked to flatter it."""
    view = replayed(ReplayedRun(seeds=3))
    right, wrong = ReplayCell(OutcomeClass.CORRECT), ReplayCell(OutcomeClass.WRONG_TOOL)
    cells = {"f16/f16": (wrong, right, right, right), BAD: (wrong, right, wrong, wrong)}

    def shown(cells: dict[str, tuple[ReplayCell, ...]]) -> int:
        rows = tuple(replace(row, cells=cells.get(row.arm, row.cells)) for row in view.rows)
        return told_apart(replace(view, rows=rows))

    assert shown(cells) == 2
    assert shown({**cells, "f16/f16": (wrong,) * 4}) == 0


def test_the_notes_say_what_was_chosen_cut_and_reconstructed() -> None:
    """Nothing of it is silent."""
    notes = "\n".join(replayed(ReplayedRun()).notes)
    assert "3 of 3 askable turns (of 5 recorded)" in notes
    assert "in front of 1 of 3 turns old tool results were cleared" in notes
    assert "Schemas reconstructed from the calls seen: bash, read" in notes
    assert "Depths are groups of turns" in notes


def test_where_invented_paths_count_as_right_it_is_said() -> None:
    """At turns whose recorded calls are not grounded themselves."""
    run = ReplayedRun(asks_ground=False)
    assert "At 3 of 3 turns the recorded calls name paths or ids that had never occurred" in replayed(run).notes[-1]
    assert replayed(replace(run, seeds=2)).notes[-1].startswith("At this turn the recorded calls")
    assert not any("never occurred" in note for note in replayed(ReplayedRun()).notes)


def test_of_a_replay_that_was_broken_off_only_the_turns_asked_are_counted() -> None:
    """What was not asked is no turn without such a call."""
    view = replayed(ReplayedRun())
    rows = tuple(
        replace(one, cells=(ReplayCell(None), *one.cells[1:])) if one.arm == "q4_0/f16" else one for one in view.rows
    )
    (said,) = (line for line in row_sentences(replace(view, rows=rows)) if line.startswith("q4_0/f16"))
    assert " in 1 of 2 turns" in said


def test_the_strip_fits_the_width() -> None:
    """Blocks of signs, each under the turns it shows."""
    lines = list(strip_lines(replayed(ReplayedRun(seeds=40)), 30))
    assert all(len(line) <= 40 for line in lines[:-1])
    assert sum(line.startswith(BAD) for line in lines) == 3
    assert "".join(line.split()[-1] for line in lines if line.startswith(BAD)) == "!" * 41


def test_the_terminal_report_has_the_strip_and_fits_80_columns() -> None:
    """And what can't be taken back."""
    run, out = ReplayedRun(), StringIO()
    print_report(build_view(run, verdict(run)), Console(file=out, width=80))
    assert f"{BAD}    ✓✓!" in out.getvalue()
    assert "What can't be taken back" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_redacted_replay_names_no_user_in_its_report() -> None:
    """Command line and settings are masked as well as the prompts."""
    run = ReplayedRun(redacted=True)
    assert "/home/astrid" in run.record.manifest.command[-1]
    page = "".join(render_html(run, build_view(run, verdict(run))))
    assert "kvassay replay /home/⟨user:" in page


def test_the_explorer_says_what_was_recorded_and_what_else_is_right() -> None:
    """There is no list of right calls."""
    *_, last = ReplayedRun().probes()
    said = right_words(last.probe)
    assert said.startswith('recorded: bash({"command": "pytest -q"}), failed\n')
    assert "any call that fits its schema" in said
    assert Call(TEST.name, TEST.arguments) != REMOVE

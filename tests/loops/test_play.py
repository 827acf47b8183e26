"""A run of closed loops as a whole, on the scripted back end: stored as it goes, resumed, judged, reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from kvassay import session
from kvassay.assay.arms import arms_of
from kvassay.assay.comparing import compare
from kvassay.assay.design import Sample
from kvassay.assay.export import to_jsonl
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.scripted import Scripted
from kvassay.errors import ConfigError, Interrupted, ServerDied, StoreMismatch
from kvassay.loops.episode import Ending, Episode
from kvassay.loops.families import make
from kvassay.loops.judging import judge_loops
from kvassay.loops.play import LOOPS, per_family, tasks_of
from kvassay.loops.report import print_loops, to_json, write_loops
from kvassay.loops.tasks import opening
from kvassay.loops.view import LoopsView, build_loops_view
from kvassay.plan.evidence import judgements
from kvassay.settings import RunSettings, check
from kvassay.types import Arm
from kvassay.verdict import State
from loops.test_tasks import solved

Script = Callable[[str, Arm], str]
CORPUS = Path(session.__file__).parent  # small: the session in front is soon made
FEW = {"families": "constant,create"}


def settings(**changes: object) -> RunSettings:
    values = {"pairs": "q4_0/f16", "isolate": False, "depths": "8k", "probes_per_family": 2, "parsed_share": 0,
              "channels": "raw", "corpus": CORPUS, "evidence_probes": 0, "stopping": "fixed", "top_n": 0,
              "turns": 6}  # fmt: skip
    return check({**values, **changes})


def says(tool: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


def able(prompt: str) -> str:
    """An agent that knows the tasks: it writes each file as it should be, one a turn."""
    _, _, asked = prompt.rpartition("Now something else: ")
    for family in ("constant", "rename", "bug", "imports", "create"):
        for seed in range(12):
            task = make(family, seed)
            if asked.startswith(opening(task).removeprefix("Now something else: ")):
                files = solved(task)
                left = [path for path in files if files[path] != task.files.get(path)]
                turn = asked.count("<tool_call>\n{") - asked.count("name_of_the_tool")
                return (
                    says("write_file", target_file=left[turn], content=files[left[turn]]) if turn < len(left) else "!"
                )
    return "I know no such task."


def harmed(prompt: str, arm: Arm) -> str:
    """With a quantised K the agent only lists, for ever."""
    return able(prompt) if arm.kv.k == "f16" else says("list_dir", path=".")


def job(store: Store, wanted: RunSettings, script: Script = harmed, **parts: object) -> Job:
    backend = parts.pop("backend", None) or Scripted(script)
    assert isinstance(backend, Scripted)
    arms = arms_of(wanted, backend.cache_types)
    return Job(wanted, backend, Sample("scripted"), arms, tasks_of(wanted), store, method=LOOPS, **parts)  # type: ignore[arg-type]


def stored(path: Path, wanted: RunSettings | None = None, script: Script = harmed) -> StoredRun:
    return run(job(Store(path / "s.sqlite", write=True), wanted or settings(), script))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return stored(tmp_path_factory.mktemp("run"), settings())


@pytest.fixture(scope="module")
def view(finished: StoredRun) -> LoopsView:
    return build_loops_view(finished)


def test_every_arm_plays_every_task_once_behind_the_same_session(finished: StoredRun) -> None:
    played = finished.played()
    tasks = {task for _, _, task in played}
    assert len(tasks) == 10
    assert played == {(arm, 8192, task) for arm in ("f16/f16", "q4_0/f16", "f16/f16 #2") for task in tasks}
    assert finished.done() == frozenset()
    assert finished.record.finished_at is not None
    assert finished.record.manifest.design.endpoint == "the task is done"


def test_the_session_in_front_is_read_once_a_boot(finished: StoredRun) -> None:
    """Each turn adds its own tokens to the prompt cache: far less than a session anew per turn, or per task."""
    turns = sum(len(json.loads(row.body)["steps"]) for row in finished.episodes())
    read = sum(boot.processed_tokens for boot in finished.boots())
    assert turns > 70
    assert read < 3 * 8192 + turns * 1200


def test_harm_shows_in_tasks_done_and_in_loops_and_nothing_is_wrong_with_the_second_boot(view: LoopsView) -> None:
    done, loops = view.judgement.of("q4_0/f16", "done"), view.judgement.of("q4_0/f16", "free of loops")
    assert done is not None
    assert loops is not None
    assert (done.state, loops.state) == (State.DEGRADED, State.DEGRADED)
    assert done.sentence == "K at q4_0 does fewer tasks: 10 of 10 done → 0 of 10."
    assert loops.sentence == "K at q4_0 runs into loops more often: loops in 0 of 10 → 10 of 10."
    assert view.judgement.headline == f"{done.sentence} {loops.sentence}"
    assert any("differed in 0 of 10 tasks done and in 0 of 10 on loops" in note for note in view.judgement.notes)
    reference, candidate, repeat = view.arms
    assert (reference.done.correct, candidate.done.correct, repeat.done.correct) == (10, 0, 10)
    assert candidate.kinds == {"L1": 10}
    assert candidate.endings == {"looped": 10}
    assert candidate.turns == 50


def test_want_of_evidence_is_never_called_no_difference(tmp_path: Path) -> None:
    """Four tasks without a flip: undecided, with the number that would settle it."""
    view = build_loops_view(stored(tmp_path, settings(**FEW), lambda prompt, _arm: able(prompt)))
    claim = view.judgement.of("q4_0/f16", "done")
    assert claim is not None
    assert claim.state is State.INCONCLUSIVE
    assert "undecided, 4 of 4 done → 4 of 4; about " in claim.sentence
    assert "more tasks would settle it" in view.judgement.headline


def test_a_model_that_can_do_none_of_it_blames_the_tasks(tmp_path: Path) -> None:
    view = build_loops_view(stored(tmp_path, settings(**FEW), lambda _prompt, _arm: "I would rather not."))
    assert view.judgement.headline == (
        "Neither K nor V: the model itself does 0 of 4 tasks at f16/f16. The tasks, not the cache, are being measured."
    )
    assert all(claim.state is State.INCONCLUSIVE for claim in view.judgement.claims if claim.endpoint == "done")


def test_a_run_lost_to_infrastructure_is_invalid_and_says_nothing_of_model_or_tasks(finished: StoredRun) -> None:
    """Two of the candidate's ten episodes fell to faults: more than 2 in 100."""
    done, lost = Episode("t", Ending.DONE, ()), Episode("t", Ending.INFRASTRUCTURE, ())
    played = {
        (arm, 8192, f"task-{n}"): lost if arm == "q4_0/f16" and n < 2 else done
        for arm in ("f16/f16", "q4_0/f16", "f16/f16 #2")
        for n in range(10)
    }
    judgement = judge_loops(played, finished.record.manifest.design, planned=10)
    assert judgement.headline == "This run is invalid: too many episodes fell to infrastructure faults."


def test_a_run_that_was_stopped_goes_on_and_plays_nothing_twice(tmp_path: Path) -> None:
    """A server that dies in an episode costs that episode only; the rest is as in a run that was never stopped."""
    whole = {(row.arm, row.task): _said(row.body) for row in stored(tmp_path / "whole", settings(**FEW)).episodes()}
    path = tmp_path / "s.sqlite"
    backend = Scripted(harmed, faults={13: ServerDied("it died")})
    with Store(path, write=True) as store, pytest.raises(ServerDied):
        run(job(store, settings(**FEW), backend=backend))
    with Store(path, write=True) as store:
        unfinished = store.unfinished(in_loops=True)
        assert unfinished is not None
        assert store.unfinished() is None
        before = list(unfinished.episodes())
        assert 0 < len(before) < 12
        assert {boot.error for boot in unfinished.boots()} >= {"it died"}
        done = run(job(store, settings(**FEW)), resume=unfinished)
        assert set(before) < set(done.episodes())
        assert {(row.arm, row.task): _said(row.body) for row in done.episodes()} == whole


def _said(body: str) -> list[object]:
    return [[step["text"], step["replies"]] for step in json.loads(body)["steps"]]


def test_a_stop_is_heeded_between_episodes_and_what_ended_is_kept(tmp_path: Path) -> None:
    calls = iter(range(1000))
    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(Interrupted):
            run(job(store, settings(**FEW), stop=lambda: next(calls) > 8))
        unfinished = store.unfinished(in_loops=True)
        assert unfinished is not None
        assert 0 < len(unfinished.played()) < 12


def test_resuming_under_another_agent_or_length_is_refused_by_name(tmp_path: Path, finished: StoredRun) -> None:
    with pytest.raises(StoreMismatch, match="agent: 'opencode' in the store, 'pi' now"):
        run(job(Store(tmp_path / "t.sqlite", write=True), settings(agent="pi")), resume=finished)
    with pytest.raises(StoreMismatch, match="turns: 6 in the store, 7 now"):
        run(job(Store(tmp_path / "u.sqlite", write=True), settings(turns=7)), resume=finished)


def test_unknown_families_and_agents_are_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="unknown task family 'recall'"):
        tasks_of(settings(families="recall"))
    with pytest.raises(ConfigError, match="unknown agent 'aider'"):
        tasks_of(settings(agent="aider"))


@pytest.mark.parametrize(("tasks", "families", "each"), [(20, 5, 4), (21, 5, 5), (1, 5, 1), (3, 1, 3)])
def test_tasks_are_rounded_up_to_as_many_of_each_family(tasks: int, families: int, each: int) -> None:
    assert per_family(tasks, families) == each


def test_the_terminal_report_fits_80_columns_and_every_number_has_its_n(view: LoopsView) -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_loops(view, console, html=Path("loops.html"))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "10/10" in text
    assert "0/10" in text
    assert "10 looped" in text
    assert "What limits this" in text


def test_the_json_holds_every_turn_and_the_terms(view: LoopsView) -> None:
    data = json.loads(to_json(view))
    assert data["manifest"]["design"]["agent"] == "opencode"
    assert len(data["episodes"]) == 30
    assert data["episodes"][0]["steps"][0]["replies"]
    assert {claim["state"] for claim in data["judgement"]["claims"]} == {"degraded"}


def test_the_page_is_one_file_whose_texts_cannot_become_markup(tmp_path: Path) -> None:
    hostile = says("read_file", file_path="</script><img src=x onerror=alert(1)>")
    view = build_loops_view(stored(tmp_path, settings(families="bug"), lambda _prompt, _arm: hostile))
    page = write_loops(view, tmp_path).html.read_text()
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    episodes = json.loads(page.split('id="kv-episodes">')[1].split("</script>")[0])
    assert episodes[0]["steps"][0]["calls"][0]["arguments"]["file_path"].startswith("</script>")


def test_a_run_under_way_is_reported_as_far_as_it_has_come(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        with pytest.raises(ServerDied):
            run(job(store, settings(**FEW), backend=Scripted(harmed, faults={3: ServerDied("gone")})))
        unfinished = store.unfinished(in_loops=True)
        assert unfinished is not None
        view = build_loops_view(unfinished)
    assert view.judgement.headline == "Nothing to judge yet: 0 tasks under both the reference and a candidate."
    assert "not played" in write_loops(view, tmp_path).html.read_text()


def test_commands_for_probes_leave_runs_of_closed_loops_alone(finished: StoredRun, tmp_path: Path) -> None:
    """Comparing and exporting say so; a plan's evidence passes over them."""
    with pytest.raises(StoreMismatch, match="run 1 is of closed loops"):
        compare(finished, finished)
    with pytest.raises(ConfigError, match="run 1 is of closed loops"):
        to_jsonl(finished, tmp_path / "trials.jsonl")
    assert judgements(finished._path, "scripted") == ()

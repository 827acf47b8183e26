"""Live turns: the assay's classes without an expected answer, and the benefit of the doubt."""

from __future__ import annotations

import json

import pytest

from guard.traffic import Talk, answers, asked, replied, sse, stream
from kvassay.guard.contract import Api, Asked
from kvassay.guard.grading import grade_turn
from kvassay.types import JsonObject, OutcomeClass

APIS = tuple(Api)
FILE = "def total(xs):\n    return sum(xs)\n"


def kind(question: Asked, name: str, arguments: str) -> OutcomeClass | None:
    outcome = grade_turn(question, answers(question, "", [(name, arguments)])).outcome
    return outcome.kind if outcome else None


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("read", '{"path": "a.py"}', OutcomeClass.CORRECT),
        ("read", '{"path": "a.py"', OutcomeClass.JSON_INVALID),
        ("read", '{"path": "a.py"}{"path": "b.py"}', OutcomeClass.JSON_INVALID),
        ("reed", '{"path": "a.py"}', OutcomeClass.UNKNOWN_TOOL),
        ("read", '{"limit": 5}', OutcomeClass.MISSING_REQUIRED),
        ("read", '{"path": "a.py", "limit": "5"}', OutcomeClass.WRONG_TYPE),
        ("read", '{"path": "a.py", "encoding": "utf-8"}', OutcomeClass.HALLUCINATED_PARAM),
        ("read", "{}", OutcomeClass.EMPTY_ARGS),
        ("tool_call", '{"id": "calendar_add", "args": {"anything": [1]}}', OutcomeClass.CORRECT),
        ("tool_call", '{"id": "calendar_add", "arguments": {}}', OutcomeClass.HALLUCINATED_PARAM),
    ],
)
def test_the_form_of_a_call_is_graded_as_in_the_assay(
    api: Api, name: str, arguments: str, wanted: OutcomeClass
) -> None:
    assert kind(Talk("Look at a.py").asked(api), name, arguments) is wanted


@pytest.mark.parametrize("api", APIS)
def test_a_call_in_the_text_is_leaked(api: Api) -> None:
    question = Talk().asked(api)
    said = '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>'
    outcome = grade_turn(question, answers(question, said)).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.CALL_LEAKED


def thinks(api: Api, thought: str, text: str = "") -> bytes:
    """A stream that reasons, perhaps says something, and ends by itself."""
    match api:
        case Api.CHAT:
            deltas: list[JsonObject] = [{"reasoning_content": thought}, *([{"content": text}] if text else [])]
            choices: list[JsonObject] = [{"index": 0, "delta": delta} for delta in deltas]
            choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            return sse([("", json.dumps({"id": "c", "choices": [choice]})) for choice in choices], named=False)
        case Api.RESPONSES:
            events: list[JsonObject] = [
                {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "r"}},
                {"type": "response.reasoning_text.delta", "output_index": 0, "item_id": "r", "delta": thought},
                {"type": "response.output_text.delta", "output_index": 1, "item_id": "m", "delta": text},
                {"type": "response.completed", "response": {"id": "x", "status": "completed", "output": []}},
            ]
        case Api.MESSAGES:
            events = [
                {"type": "message_start", "message": {"id": "x", "content": []}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "thinking_delta", "thinking": thought},
                },
                {"type": "content_block_stop", "index": 0},
                {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": text}},
                {"type": "content_block_stop", "index": 1},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                {"type": "message_stop"},
            ]
    return sse([(str(event["type"]), json.dumps(event)) for event in events], named=True)


@pytest.mark.parametrize("api", APIS)
def test_a_call_that_ends_the_reasoning_is_leaked_and_one_that_is_only_thought_of_is_not(api: Api) -> None:
    """Qwen3.5 begins a call without </think>: where the server waits for that, the agent gets an empty answer."""
    call = "<tool_call>\n<function=read>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>"
    said = [(f"I need it.\n{call}", ""), (f"{call} Or better not.", ""), (call, "It is done.")]
    question = Talk().asked(api)
    outcomes = [grade_turn(question, replied(question, thinks(api, *parts))).outcome for parts in said]
    assert [outcome.kind for outcome in outcomes if outcome] == [
        OutcomeClass.CALL_LEAKED,
        OutcomeClass.CORRECT,
        OutcomeClass.CORRECT,
    ]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("talk", "wanted"),
    [(Talk(), OutcomeClass.CORRECT), (Talk().calls("read", {"path": "a.py"}), OutcomeClass.CALL_LEAKED)],
    ids=["an agent that names its tools in the prompt", "an agent that leaves them out for once"],
)
def test_a_call_in_the_text_leaks_only_where_the_request_speaks_of_tools(
    api: Api, talk: Talk, wanted: OutcomeClass
) -> None:
    question = talk.asked(api, tools=[])
    said = '<tool_call>\n{"name": "read", "arguments": {"path": "b.py"}}\n</tool_call>'
    outcome = grade_turn(question, answers(question, said)).outcome
    assert outcome is not None
    assert outcome.kind is wanted


@pytest.mark.parametrize("api", APIS)
def test_text_that_repeats_itself_is_degenerate(api: Api) -> None:
    question = Talk().asked(api)
    outcome = grade_turn(question, answers(question, "and again the file " * 40)).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.DEGENERATE


def test_a_call_cut_at_the_token_limit_is_degenerate() -> None:
    question = Talk().asked(max_tokens=50)
    outcome = grade_turn(question, answers(question, "", [("bash", '{"command": "ls')], "length")).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.DEGENERATE


@pytest.mark.parametrize(("limit", "wanted"), [(9, OutcomeClass.DEGENERATE), (10, OutcomeClass.JSON_INVALID)])
def test_a_call_cut_at_the_limit_is_known_by_the_count_where_the_server_calls_it_whole(
    limit: int, wanted: OutcomeClass
) -> None:
    question = Talk().asked(max_tokens=limit)
    outcome = grade_turn(question, answers(question, "", [("read", '{"path": "src/')], "tool_calls")).outcome
    assert outcome is not None
    assert outcome.kind is wanted


@pytest.mark.parametrize("api", APIS)
def test_a_quote_that_is_not_in_the_newest_view_is_missed(api: Api) -> None:
    talk = Talk().calls("read", {"path": "src/a.py"}, FILE)
    edit = '{"path": "src/a.py", "old_string": "retrun sum(xs)", "new_string": "return 0"}'
    outcome = grade_turn(talk.asked(api), answers(talk.asked(api), "", [("edit", edit)])).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.edit_distance) == (OutcomeClass.VERBATIM_MISS, 2)
    assert kind(talk.asked(api), "edit", edit.replace("retrun", "return")) is OutcomeClass.CORRECT


def test_a_quote_is_judged_against_what_an_edit_left() -> None:
    edit = {"path": "a.py", "old_string": "sum(xs)", "new_string": "max(xs)"}
    talk = Talk().calls("read", {"path": "a.py"}, FILE).calls("edit", edit, "Edited a.py")
    again = '{"path": "a.py", "old_string": "sum(xs)", "new_string": "0"}'
    assert kind(talk.asked(), "edit", again) is OutcomeClass.VERBATIM_MISS


@pytest.mark.parametrize(
    "talk",
    [
        Talk(),
        Talk().calls("read", {"path": "a.py"}, FILE).calls("bash", {"command": "grep -n x b.txt"}, "3: retrun sum(xs)"),
        Talk()
        .calls("read", {"path": "a.py"}, FILE)
        .calls("bash", {"command": "ruff format a.py"}, "1 file reformatted"),
        Talk().calls("read", {"path": "a.py"}, FILE).user("Replace `retrun sum(xs)`, please."),
    ],
)
def test_a_quote_that_may_come_from_elsewhere_is_not_judged(talk: Talk) -> None:
    edit = '{"path": "a.py", "old_string": "retrun sum(xs)", "new_string": "0"}'
    assert kind(talk.asked(), "edit", edit) is OutcomeClass.CORRECT


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("src/billing/invoices.py", OutcomeClass.CORRECT),
        ("src/billing/invoicse.py", OutcomeClass.UNGROUNDED_ID),
        ("src/biling/invoices.py", OutcomeClass.UNGROUNDED_ID),
        ("README.md", OutcomeClass.CORRECT),
        ("src/billing/invoice_2.py", OutcomeClass.CORRECT),
        ("src/shipping/orders.py", OutcomeClass.CORRECT),
    ],
)
def test_a_path_that_is_a_slip_of_one_seen_is_ungrounded_but_exploring_is_free(path: str, wanted: OutcomeClass) -> None:
    talk = Talk("Fix src/billing/invoices.py").calls("bash", {"command": "ls src/billing"}, "invoices.py invoice_1.py")
    assert kind(talk.asked(), "read", f'{{"path": "{path}"}}') is wanted


def test_an_id_that_nobody_can_guess_is_ungrounded() -> None:
    schema = {"type": "object", "properties": {"task_id": {"type": "string"}}, "required": ["task_id"]}
    tool = {"type": "function", "function": {"name": "output", "parameters": schema}}
    known = "0b6f2f3e-1c4d-4c2a-9d4e-000000000001"
    question = Talk(f"Started {known}").asked(tools=[tool])
    assert kind(question, "output", f'{{"task_id": "{known}"}}') is OutcomeClass.CORRECT
    assert kind(question, "output", f'{{"task_id": "{known[:-1]}2"}}') is OutcomeClass.UNGROUNDED_ID
    assert kind(question, "output", '{"task_id": "latest"}') is OutcomeClass.CORRECT


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (400, '{"error": {"message": "failed to parse grammar"}}', OutcomeClass.SCHEMA_REJECTED),
        (
            500,
            "The model produced output that does not match the expected peg-native format",
            OutcomeClass.JSON_INVALID,
        ),
        (500, "error parsing tool call: raw='{\"name\"', err=eof", OutcomeClass.JSON_INVALID),
        (500, "Failed to parse tool call arguments as JSON", OutcomeClass.HISTORY_POISONED),
        (500, "something else", OutcomeClass.PARSER_FAULT),
    ],
)
def test_http_errors_are_classified_by_their_body(status: int, body: str, wanted: OutcomeClass) -> None:
    question = Talk().asked()
    outcome = grade_turn(question, replied(question, body.encode(), status=status)).outcome
    assert outcome is not None
    assert outcome.kind is wanted


def test_an_error_behind_a_poisoned_history_is_the_historys() -> None:
    question = Talk().calls("read", '{"path": ', "bad call").asked()
    outcome = grade_turn(question, replied(question, b"Internal error", status=500)).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.HISTORY_POISONED


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_who_may_ask_and_how_much_is_nobodys_failure(status: int) -> None:
    question = Talk().asked()
    assert grade_turn(question, replied(question, b"{}", status=status)).outcome is None


def test_a_prompt_longer_than_the_context_is_nobodys_failure() -> None:
    question = Talk().asked()
    body = b'{"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096}}'
    assert grade_turn(question, replied(question, body, status=400)) == (
        None,
        "the prompt is longer than the server's context",
    )


def test_a_reply_that_was_cut_off_is_not_graded() -> None:
    question = Talk().asked()
    body = stream(Api.CHAT, "", [("read", '{"path": "a.py"}')])
    grade = grade_turn(question, replied(question, body[: len(body) // 2], complete=False))
    assert grade == (None, "the reply was cut off")


def test_a_server_that_read_less_than_it_was_sent_cut_the_prompt() -> None:
    question = Talk().asked()
    reply = answers(question, "Hi")
    truncated = grade_turn(question, reply, counted_tokens=2000).outcome
    assert truncated is not None
    assert truncated.kind is OutcomeClass.PROMPT_TRUNCATED
    assert grade_turn(question, reply, counted_tokens=1200).outcome != truncated


def test_codex_namespaces_and_hosted_tools_are_known() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    inner = {"type": "function", "name": "close_agent", "parameters": schema}
    tools = [
        {"type": "namespace", "name": "agents_v1", "tools": [inner]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
        {"type": "web_search"},
    ]
    question = asked(Api.RESPONSES, Talk().body(Api.RESPONSES, tools=tools))
    assert kind(question, "close_agent", '{"id": "x"}') is OutcomeClass.CORRECT
    assert kind(question, "agents_v1__close_agent", "{}") is OutcomeClass.EMPTY_ARGS
    assert kind(question, "apply_patch", "*** Begin Patch") is OutcomeClass.CORRECT
    assert kind(question, "web_search", '{"query": "x"}') is OutcomeClass.CORRECT
    assert kind(question, "open_agent", "{}") is OutcomeClass.UNKNOWN_TOOL

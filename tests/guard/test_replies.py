"""Replies out of bytes: three APIs, plain and streamed, any chunking, any garbage."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.traffic import Talk, answers, plain, replied, sse, stream
from kvassay.guard.contract import Api, PieceKind, SaidCall
from kvassay.guard.grading import grade_turn
from kvassay.guard.replies import ReplyReader
from kvassay.types import Call, JsonObject, OutcomeClass, Stop

APIS = tuple(Api)
CALLS = (("read", '{"path": "src/ä.py"}'), ("bash", '{"command": "ls\\n"}'))


@pytest.mark.parametrize("api", APIS)
def test_a_streamed_reply_is_read_as_said(api: Api) -> None:
    reply = answers(Talk().asked(api), "Let me look. ü", CALLS)
    assert (reply.turn.content, reply.finish_reason, reply.cut, reply.unread) == (
        "Let me look. ü",
        "tool_calls",
        False,
        False,
    )
    assert [(call.name, call.arguments) for call in reply.calls] == list(CALLS)
    assert reply.turn.calls == (Call("read", {"path": "src/ä.py"}), Call("bash", {"command": "ls\n"}))
    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens) == (1200, 1000, 9)


@pytest.mark.parametrize("api", APIS)
def test_plain_and_streamed_replies_say_the_same(api: Api) -> None:
    whole = replied(Talk().asked(api, stream=False), plain(api, "Hello.", CALLS))
    parts = answers(Talk().asked(api), "Hello.", CALLS)
    assert whole.turn.calls == parts.turn.calls
    assert (whole.turn.content, whole.finish_reason, whole.prompt_tokens) == ("Hello.", "tool_calls", 1200)
    assert parts.streamed
    assert not whole.streamed


@pytest.mark.parametrize("api", APIS)
@settings(deadline=None)
@given(data=st.data())
def test_the_borders_of_chunks_make_no_difference(api: Api, data: st.DataObject) -> None:
    asked, body = Talk().asked(api), stream(api, "Text, déjà vu.", CALLS)
    if data.draw(st.booleans()):
        body = body.replace(b"\n", b"\r\n")
    body = b": ping\n\n" + body
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    chunks = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
    assert replied(asked, *chunks) == replied(asked, body)


@pytest.mark.parametrize("api", APIS)
@settings(deadline=None)
@given(
    chunks=st.lists(st.binary(max_size=60), max_size=8), streamed=st.booleans(), status=st.sampled_from([200, 400, 500])
)
def test_garbage_never_raises_and_every_byte_is_passed_on(
    api: Api, chunks: list[bytes], status: int, *, streamed: bool
) -> None:
    reader = ReplyReader(Talk().asked(api, stream=streamed))
    passed = b"".join(piece.raw for chunk in chunks for piece in reader.feed(chunk))
    assert passed + reader.rest == b"".join(chunks)
    reader.finish(status, complete=True)


@pytest.mark.parametrize("api", APIS)
@settings(deadline=None)
@given(data=st.data())
def test_a_mangled_stream_never_raises(api: Api, data: st.DataObject) -> None:
    body = bytearray(stream(api, "Hi.", CALLS))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=12)):
        body[place] = data.draw(st.integers(0, 255))
    reply = replied(Talk().asked(api), bytes(body))
    assert reply.status in range(200, 600)


# fmt: off
KEYS = [
    "type", "index", "delta", "choices", "tool_calls", "function", "arguments", "item", "response", "content_block",
    "id", "message", "usage", "name", "error", "output", "content", "output_index", "input",
]
# fmt: on
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@pytest.mark.parametrize("api", APIS)
@settings(deadline=None)
@given(
    values=st.lists(JSON, max_size=5), kind=st.sampled_from(["content_block_start", "response.output_item.done", ""])
)
def test_json_of_the_wrong_shape_never_raises(api: Api, values: list[object], kind: str) -> None:
    events = [{"type": kind, **value} if isinstance(value, dict) and kind else value for value in values]
    replied(Talk().asked(api), sse([(kind, json.dumps(event)) for event in events], named=True))
    for value in values:
        replied(Talk().asked(api, stream=False), json.dumps(value).encode())


@pytest.mark.parametrize("api", APIS)
def test_text_passes_and_from_the_first_call_on_the_reader_says_so(api: Api) -> None:
    reader = ReplyReader(Talk().asked(api))
    events = (line + b"\n\n" for line in stream(api, "Hi", CALLS).split(b"\n\n")[:-1])
    started = [(piece.kind, reader.tool_call_started) for event in events for piece in reader.feed(event)]
    kinds = [kind for kind, _ in started]
    assert kinds.count(PieceKind.TEXT) == 2
    assert kinds.index(PieceKind.TEXT) < kinds.index(PieceKind.TOOL)
    assert all(begun == (index >= kinds.index(PieceKind.TOOL)) for index, (_, begun) in enumerate(started))
    assert kinds[-1] is PieceKind.END
    assert (reader.begun.text, reader.begun.started) == ("Hi", True)


@pytest.mark.parametrize("api", APIS)
def test_a_prompt_of_no_tokens_is_one_that_nobody_counted(api: Api) -> None:
    question, body = Talk().asked(api), stream(api, "Hi.")
    for counted in (b'"prompt_tokens": 1200', b'"input_tokens": 1200', b'"cache_read_input_tokens": 1000'):
        body = body.replace(counted, counted.split()[0] + b" 0")
    reply = replied(question, body.replace(b'"input_tokens": 200', b'"input_tokens": 0'))
    assert reply.prompt_tokens is None
    outcome = grade_turn(question, reply, counted_tokens=5000).outcome
    assert outcome is not None
    assert outcome.correct


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_breaks_off_is_cut_and_its_call_is_not_completed(api: Api) -> None:
    body = stream(api, "", CALLS)
    reply = replied(Talk().asked(api), body[: body.index(b"src/") + 6], complete=False)
    assert reply.cut
    assert not any("src" in str(call.arguments) for call in reply.turn.calls)


def test_a_stream_without_its_closing_mark_is_cut_although_the_connection_closed_well() -> None:
    asked = Talk().asked()
    assert replied(asked, stream(Api.CHAT, "Hello").partition(b'"finish_reason": "stop"')[0], complete=True).cut


def test_a_call_that_the_server_aborted_is_cut_and_no_failure_of_the_models() -> None:
    question = Talk().asked()
    aborted = answers(question, "", [("bash", '{"command": "ls')], "abort")
    assert aborted.cut
    assert grade_turn(question, aborted).outcome is None


@pytest.mark.parametrize("status", ["failed", "cancelled", "queued"])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_response_that_did_not_come_to_its_end_is_cut(status: str, *, streamed: bool) -> None:
    question = Talk().asked(Api.RESPONSES, stream=streamed)
    response: JsonObject = {"id": "r", "status": status, "error": None, "output": []}
    event = (f"response.{status}", {"type": f"response.{status}", "response": response})
    assert replied(question, sse([event], named=True) if streamed else json.dumps(response).encode()).cut


def test_a_last_event_without_a_blank_line_counts() -> None:
    body = stream(Api.CHAT, "Hello").replace(b"data: [DONE]\n\n", b"").rstrip(b"\n")
    assert replied(Talk().asked(), body).prompt_tokens == 1200


@pytest.mark.parametrize("api", APIS)
def test_an_error_within_the_stream_becomes_its_status_and_evidence(api: Api) -> None:
    error = {"type": "error", "error": {"code": 503, "message": "the model died"}}
    reply = replied(Talk().asked(api), sse([("error", error)], named=True))
    assert (reply.status, reply.cut) == (503, False)
    assert "the model died" in reply.error
    assert "the model died" in reply.turn.text


def test_an_error_in_llama_cpps_former_field_is_an_error_although_a_closing_mark_follows() -> None:
    said = sse([("", {"choices": [{"index": 0, "delta": {"content": "Hi"}}]})], named=False)
    error = b'error: {"code":500,"message":"failed to decode the batch","type":"server_error"}'
    reply = replied(Talk().asked(), said + error + b"\n\ndata: [DONE]\n\n")
    assert (reply.status, reply.cut) == (500, False)
    assert "failed to decode the batch" in reply.error


def test_a_call_that_the_server_can_not_read_is_the_models_failure_also_behind_text() -> None:
    question = Talk().asked()
    error = {"code": 500, "message": "The model produced output that does not match the expected peg-native format"}
    events = [("", {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}), ("", {"error": error})]
    outcome = grade_turn(question, replied(question, sse(events, named=False))).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.JSON_INVALID
    assert "peg-native" in outcome.detail


@pytest.mark.parametrize(("api", "named"), [(Api.CHAT, False), (Api.RESPONSES, False), (Api.MESSAGES, True)])
def test_an_error_within_a_stream_of_llama_cpps_is_read_in_each_of_its_forms(api: Api, *, named: bool) -> None:
    error: JsonObject = {
        "code": 500,
        "message": "does not match the expected peg-native format",
        "type": "server_error",
    }
    question, begun = Talk().asked(api), stream(api, "Hi.").partition(b"\n\n")[0] + b"\n\n"
    event = ("error", error) if named else ("", {"error": error})
    outcome = grade_turn(question, replied(question, begun, sse([event], named=named))).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.JSON_INVALID


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "no such model"}}', b"<html>no such model</html>", b"no such model"]
)
def test_an_http_error_keeps_its_body_as_evidence(api: Api, body: bytes) -> None:
    reply = replied(Talk().asked(api), body, status=404)
    assert (reply.status, reply.unread, reply.cut) == (404, False, False)
    assert "no such model" in reply.error


def test_a_call_that_ran_to_the_limit_is_truncated_and_not_repaired() -> None:
    reply = answers(Talk().asked(), "", [("bash", '{"command": "rm -rf /tmp/x')], "length")
    assert reply.turn.calls == ()
    assert [fault.kind for fault in reply.turn.faults] == ["truncated"]
    assert reply.turn.stop is Stop.LIMIT


def test_a_freeform_call_is_no_fault() -> None:
    item = {"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "apply_patch", "input": "*** Begin Patch"}
    events = [
        ("response.output_item.added", {"output_index": 0, "item": {**item, "input": ""}}),
        ("response.custom_tool_call_input.delta", {"output_index": 0, "delta": "*** Begin Patch"}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": {"id": "r", "output": [item]}}),
    ]
    body = sse([(name, {"type": name, **data}) for name, data in events], named=True)
    reply = replied(Talk().asked(Api.RESPONSES), body)
    assert reply.calls == (SaidCall("c", "apply_patch", "*** Begin Patch", freeform=True),)
    assert (reply.turn.calls, reply.turn.faults) == ((), ())


def test_an_anthropic_call_without_deltas_has_no_arguments() -> None:
    asked = Talk().asked(Api.MESSAGES)
    assert answers(asked, "", [("list", "")]).turn.calls == (Call("list", {}),)


def test_data_in_several_lines_are_one_event() -> None:
    body = stream(Api.CHAT, "Hi").replace(b'data: {"id": "chatcmpl-1", ', b'data: {"id": "chatcmpl-1",\ndata: ')
    assert b",\ndata: " in body
    assert replied(Talk().asked(), body).turn.content == "Hi"


def test_chunks_of_an_ollama_style_server_without_indexes_are_told_apart_by_id() -> None:
    calls = [{"id": f"c{n}", "function": {"name": "read", "arguments": {"path": f"{n}.py"}}} for n in range(2)]
    events = [("", {"choices": [{"delta": {"tool_calls": [call]}}]}) for call in calls]
    body = sse([*events, ("", {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})], named=False)
    assert replied(Talk().asked(), body).turn.calls == (Call("read", {"path": "0.py"}), Call("read", {"path": "1.py"}))


@pytest.mark.parametrize("repeated", ["", "same"], ids=["id once, as vLLM", "id each time, as SGLang"])
def test_parallel_calls_under_one_index_are_told_apart_by_their_ids(repeated: str) -> None:
    events: list[tuple[str, JsonObject]] = []
    for id_, path in (("c0", "a.py"), ("c1", "b.py")):
        parts: list[JsonObject] = [
            {"index": 0, "id": id_, "function": {"name": "read", "arguments": ""}},
            {"index": 0, "id": repeated and id_, "function": {"name": None, "arguments": '{"path": '}},
            {"index": 0, "id": repeated and id_, "function": {"name": None, "arguments": f'"{path}"}}'}},
        ]
        events += [("", {"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]}) for part in parts]
    body = sse([*events, ("", {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})], named=False)
    reply = replied(Talk().asked(), body)
    assert reply.calls == (SaidCall("c0", "read", '{"path": "a.py"}'), SaidCall("c1", "read", '{"path": "b.py"}'))


@pytest.mark.parametrize(
    ("names", "name"),
    [(("read", "read", "read"), "read"), (("re", "ad", ""), "read"), (("", "read", "read"), "read")],
    ids=["whole each time, as NVIDIA's NIM", "in parts", "late"],
)
def test_a_calls_name_is_the_same_however_often_it_is_sent(names: tuple[str, ...], name: str) -> None:
    parts = zip(names, ("", '{"path": ', '"a.py"}'), strict=True)
    calls = [{"index": 0, "id": "c", "function": {"name": one, "arguments": part}} for one, part in parts]
    events = [("", {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls]
    body = sse([*events, ("", {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})], named=False)
    assert replied(Talk().asked(), body).calls == (SaidCall("c", name, '{"path": "a.py"}'),)


def test_parallel_calls_of_llama_cpps_responses_are_told_apart_without_an_index() -> None:
    events: list[tuple[str, JsonObject]] = []
    for id_, path in (("fc_a", "a.py"), ("fc_b", "b.py")):
        arguments = f'{{"path": "{path}"}}'
        item: JsonObject = {"type": "function_call", "call_id": id_, "name": "read", "arguments": ""}
        events.append(("response.output_item.added", {"item": item}))
        deltas = ({"item_id": id_, "delta": half} for half in (arguments[:5], arguments[5:]))
        events += [("response.function_call_arguments.delta", delta) for delta in deltas]
    for id_, path in (("fc_a", "a.py"), ("fc_b", "b.py")):
        item = {"type": "function_call", "call_id": id_, "name": "read", "arguments": f'{{"path": "{path}"}}'}
        events.append(("response.output_item.done", {"item": item}))
    events.append(("response.completed", {"response": {"id": "r", "output": []}}))
    body = sse([(name, {"type": name, **data}) for name, data in events], named=True)
    reply = replied(Talk().asked(Api.RESPONSES), body)
    assert [(call.id, call.arguments) for call in reply.calls] == [
        ("fc_a", '{"path": "a.py"}'),
        ("fc_b", '{"path": "b.py"}'),
    ]


def test_parallel_calls_of_ollamas_responses_are_told_apart_at_one_place() -> None:
    events: list[tuple[str, JsonObject]] = []
    for id_, path in (("fc_7", "a.py"), ("fc_8", "b.py")):
        at: JsonObject = {"output_index": 0}
        item: JsonObject = {
            "type": "function_call",
            "id": id_,
            "call_id": f"call_{id_}",
            "name": "read",
            "arguments": "",
        }
        arguments = f'{{"path": "{path}"}}'
        events.append(("response.output_item.added", {**at, "item": item}))
        events.append(("response.function_call_arguments.delta", {**at, "item_id": id_, "delta": arguments}))
        events.append(("response.function_call_arguments.done", {**at, "item_id": id_, "arguments": arguments}))
        events.append(("response.output_item.done", {**at, "item": {**item, "arguments": arguments}}))
    events.append(("response.completed", {"response": {"id": "r", "output": []}}))
    body = sse([(name, {"type": name, **data}) for name, data in events], named=True)
    calls = replied(Talk().asked(Api.RESPONSES), body).calls
    assert [(call.id, call.arguments) for call in calls] == [
        ("call_fc_7", '{"path": "a.py"}'),
        ("call_fc_8", '{"path": "b.py"}'),
    ]


CASSETTES = Path(__file__).parent / "cassettes"
SAID = '{"name": "hello", "arguments": {"message": "Hello, world!"}}'


@pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES])
@pytest.mark.parametrize("form", ["stream", "plain"])
def test_what_llama_cpp_really_sends_is_read_and_graded(api: Api, form: str) -> None:
    question = Talk().asked(api, stream=form == "stream")
    body = (CASSETTES / f"llama_{api.value}_{form}_text.txt").read_bytes()
    reply = replied(question, *(body[n : n + 100] for n in range(0, len(body), 100)))
    assert (reply.turn.content, reply.finish_reason, reply.cut, reply.unread) == (SAID, "stop", False, False)
    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens) == (164, 149, 19)
    outcome = grade_turn(question, reply).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.CALL_LEAKED


def test_what_llama_cpp_really_streams_to_anthropics_clients_is_read_and_graded() -> None:
    question = Talk().asked(Api.MESSAGES)
    reply = replied(question, (CASSETTES / "llama_messages_stream_text.txt").read_bytes())
    assert (reply.finish_reason, reply.turn.stop, reply.cut) == ("length", Stop.LIMIT, False)
    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens) == (167, 62, 60)
    outcome = grade_turn(question, reply).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeClass.CALL_LEAKED

"""Synthetic traffic in the shapes of six agents and three APIs: requests as sent, replies as servers stream them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from kvassay.guard.asking import read_request
from kvassay.guard.contract import Api, Asked, Replied
from kvassay.guard.replies import ReplyReader
from kvassay.types import JsonObject, JsonValue

PATHS = {Api.CHAT: "/v1/chat/completions", Api.RESPONSES: "/v1/responses", Api.MESSAGES: "/v1/messages"}

READ: JsonObject = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["path"],
}
EDIT: JsonObject = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "old_string": {"type": "string"}, "new_string": {"type": "string"}},
    "required": ["path", "old_string", "new_string"],
}
BASH: JsonObject = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOL_CALL: JsonObject = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "args": {"type": "object", "patternProperties": {"^.*$": {}}}},
}
SCHEMAS: dict[str, JsonObject] = {"read": READ, "edit": EDIT, "bash": BASH, "tool_call": TOOL_CALL}


def tools(api: Api, schemas: Mapping[str, JsonObject] = SCHEMAS) -> list[JsonValue]:
    """The tools as each API declares them."""
    match api:
        case Api.CHAT:
            return [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in schemas.items()]
        case Api.RESPONSES:
            return [{"type": "function", "name": n, "strict": False, "parameters": s} for n, s in schemas.items()]
        case Api.MESSAGES:
            return [{"name": n, "description": n, "input_schema": s} for n, s in schemas.items()]


class Talk:
    """A conversation that can be put in any API's form: what was said, called and answered, in order."""

    def __init__(self, first: str = "Fix the bug.", system: str = "You are a coding agent.") -> None:
        self._system = system
        self._turns: list[tuple[str, str, JsonValue]] = [("user", "", first)]
        self._calls = 0

    def user(self, text: str) -> Talk:
        self._turns.append(("user", "", text))
        return self

    def says(self, text: str) -> Talk:
        self._turns.append(("assistant", "", text))
        return self

    def calls(self, name: str, arguments: JsonValue, result: str = "ok", *, error: bool = False) -> Talk:
        """One call and its result; ``arguments`` may be a string that is no JSON object."""
        self._calls += 1
        self._turns.append(("call", f"call_{self._calls}", {"name": name, "arguments": arguments}))
        self._turns.append(("result", f"call_{self._calls}", {"text": result, "error": error}))
        return self

    def body(self, api: Api, **extra: JsonValue) -> JsonObject:
        form = {Api.CHAT: self._chat, Api.RESPONSES: self._responses, Api.MESSAGES: self._messages}[api]
        return {"model": "m", **form(), "tools": tools(api), "stream": True, **extra}

    def asked(self, api: Api = Api.CHAT, headers: Mapping[str, str] | None = None, **extra: JsonValue) -> Asked:
        return asked(api, self.body(api, **extra), headers)

    def _chat(self) -> JsonObject:
        messages: list[JsonValue] = [{"role": "system", "content": self._system}]
        for kind, id_, what in self._turns:
            if kind == "call" and isinstance(what, dict):
                function: JsonObject = {"name": what["name"], "arguments": _text(what["arguments"])}
                call: JsonObject = {"id": id_, "type": "function", "function": function}
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            elif kind == "result" and isinstance(what, dict):
                messages.append({"role": "tool", "tool_call_id": id_, "content": what["text"]})
            else:
                messages.append({"role": kind, "content": what})
        return {"messages": messages}

    def _responses(self) -> JsonObject:
        items: list[JsonValue] = []
        for kind, id_, what in self._turns:
            if kind == "call" and isinstance(what, dict):
                arguments = _text(what["arguments"])
                items.append({"type": "function_call", "call_id": id_, "name": what["name"], "arguments": arguments})
            elif kind == "result" and isinstance(what, dict):
                items.append({"type": "function_call_output", "call_id": id_, "output": what["text"]})
            else:
                part: JsonObject = {"type": "output_text" if kind == "assistant" else "input_text", "text": what}
                items.append({"type": "message", "role": kind, "content": [part]})
        return {"instructions": self._system, "input": items}

    def _messages(self) -> JsonObject:
        messages: list[JsonValue] = []
        for kind, id_, what in self._turns:
            if kind == "call" and isinstance(what, dict):
                block: JsonObject = {"type": "tool_use", "id": id_, "name": what["name"], "input": what["arguments"]}
                messages.append({"role": "assistant", "content": [block]})
            elif kind == "result" and isinstance(what, dict):
                text: list[JsonValue] = [{"type": "text", "text": what["text"]}]
                result: JsonObject = {"type": "tool_result", "tool_use_id": id_, "content": text}
                messages.append({"role": "user", "content": [{**result, "is_error": what["error"]}]})
            else:
                messages.append({"role": kind, "content": what})
        return {"system": [{"type": "text", "text": self._system}], "messages": messages, "max_tokens": 1000}


def asked(api: Api, body: JsonObject, headers: Mapping[str, str] | None = None) -> Asked:
    """Read a request; it must be one of ours."""
    found = read_request(PATHS[api], headers or {}, json.dumps(body).encode())
    assert found is not None
    return found


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --------------------------------------------------------------------------- replies

Said = Sequence[tuple[str, str]]  # calls: name and arguments' text


def sse(events: Iterable[tuple[str, JsonValue]], *, named: bool) -> bytes:
    """Events as a server writes them."""
    lines = (
        f"event: {name}\ndata: {_text(data)}\n\n" if named else f"data: {_text(data)}\n\n" for name, data in events
    )
    return "".join(lines).encode()


def stream(api: Api, text: str = "", calls: Said = (), finish: str | None = None) -> bytes:
    """A whole streamed reply, its arguments in two deltas each."""
    match api:
        case Api.CHAT:
            return _chat_stream(text, calls, finish or ("tool_calls" if calls else "stop"))
        case Api.RESPONSES:
            return _responses_stream(text, calls, finish)
        case Api.MESSAGES:
            return _messages_stream(text, calls, finish or ("tool_use" if calls else "end_turn"))


def _chat_stream(text: str, calls: Said, finish: str) -> bytes:
    deltas: list[JsonObject] = [{"role": "assistant", "content": None}, *({"content": char} for char in text)]
    for index, (name, arguments) in enumerate(calls):
        head: JsonObject = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": f"c{index}", "type": "function", "function": head}]})
        halves = _halves(arguments)
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": half}}]} for half in halves]
    frame: JsonObject = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    chunks = [("", {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    end = ("", {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    counts: JsonObject = {"prompt_tokens": 1200, "completion_tokens": 9}
    usage: JsonObject = {**counts, "prompt_tokens_details": {"cached_tokens": 1000}}
    return sse([*chunks, end, ("", {**frame, "choices": [], "usage": usage}), ("", "[DONE]")], named=False)


def _responses_stream(text: str, calls: Said, finish: str | None) -> bytes:
    response: JsonObject = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "m"}
    events: list[tuple[str, JsonObject]] = [("response.created", {"response": {**response, "status": "in_progress"}})]
    output: list[JsonValue] = []
    if text:
        item: JsonObject = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
        events.append(("response.output_item.added", {"output_index": 0, "item": item}))
        events += [("response.output_text.delta", {"output_index": 0, "item_id": "msg_1", "delta": c}) for c in text]
        done: JsonObject = {**item, "content": [{"type": "output_text", "text": text, "annotations": []}]}
        events.append(("response.output_item.done", {"output_index": 0, "item": done}))
        output.append(done)
    for name, arguments in calls:
        at, id_ = len(output), f"fc_{len(output)}"
        call: JsonObject = {"type": "function_call", "id": id_, "call_id": f"c{at}", "name": name, "arguments": ""}
        events.append(("response.output_item.added", {"output_index": at, "item": call}))
        for half in _halves(arguments):
            delta: JsonObject = {"output_index": at, "item_id": id_, "delta": half}
            events.append(("response.function_call_arguments.delta", delta))
        whole: JsonObject = {"output_index": at, "item_id": id_, "arguments": arguments}
        events.append(("response.function_call_arguments.done", whole))
        output.append({**call, "arguments": arguments})
        events.append(("response.output_item.done", {"output_index": at, "item": output[-1]}))
    usage: JsonObject = {"input_tokens": 1200, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 1000}}
    end: JsonObject = {**response, "status": "completed", "output": output, "usage": usage}
    if finish == "length":
        end |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    events.append((f"response.{end['status']}", {"response": end}))
    numbered = [(name, {"type": name, "sequence_number": n, **data}) for n, (name, data) in enumerate(events)]
    return sse(numbered, named=True)


def _messages_stream(text: str, calls: Said, finish: str) -> bytes:
    usage: JsonObject = {"input_tokens": 200, "cache_read_input_tokens": 1000, "output_tokens": 1}
    message: JsonObject = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    events: list[tuple[str, JsonObject]] = [("message_start", {"message": {**message, "usage": usage}}), ("ping", {})]
    blocks: list[tuple[JsonObject, list[JsonValue]]] = []
    if text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": char} for char in text]))
    for index, (name, arguments) in enumerate(calls):
        deltas: list[JsonValue] = [{"type": "input_json_delta", "partial_json": half} for half in _halves(arguments)]
        blocks.append(({"type": "tool_use", "id": f"c{index}", "name": name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": block}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    events.append(("message_delta", {"delta": {"stop_reason": finish}, "usage": {"output_tokens": 9}}))
    events.append(("message_stop", {}))
    return sse([(name, {"type": name, **data}) for name, data in events], named=True)


def plain(api: Api, text: str = "", calls: Said = ()) -> bytes:
    """A whole reply that is no stream."""
    match api:
        case Api.CHAT:
            wire: list[JsonValue] = [
                {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, (name, arguments) in enumerate(calls)
            ]
            message: JsonObject = {"role": "assistant", "content": text or None, "tool_calls": wire}
            choice: JsonObject = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
            counts: JsonObject = {"prompt_tokens": 1200, "completion_tokens": 9}
            usage: JsonObject = {**counts, "prompt_tokens_details": {"cached_tokens": 1000}}
            body: JsonObject = {
                "id": "chatcmpl-1",
                "created": 1700000000,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
        case Api.RESPONSES:
            output: list[JsonValue] = []
            if text:
                output.append({"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text}]})
            for name, arguments in calls:
                call: JsonObject = {"type": "function_call", "call_id": f"c{len(output)}", "name": name}
                output.append({**call, "arguments": arguments})
            usage = {"input_tokens": 1200, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 1000}}
            body = {"id": "resp_1", "created_at": 1700000000, "model": "m", "output": output, "usage": usage}
        case Api.MESSAGES:
            content: list[JsonValue] = [{"type": "text", "text": text}] if text else []
            for index, (name, arguments) in enumerate(calls):
                content.append({"type": "tool_use", "id": f"c{index}", "name": name, "input": json.loads(arguments)})
            usage = {"input_tokens": 200, "cache_read_input_tokens": 1000, "output_tokens": 9}
            reason = "tool_use" if calls else "end_turn"
            body = {"id": "msg_1", "model": "m", "content": content, "stop_reason": reason, "usage": usage}
    return json.dumps(body).encode()


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def replied(question: Asked, *chunks: bytes, status: int = 200, complete: bool = True) -> Replied:
    """Read a reply from its chunks."""
    reader = ReplyReader(question)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish(status, complete=complete)


def answers(question: Asked, text: str = "", calls: Said = (), finish: str | None = None) -> Replied:
    """What comes back when the model says this, streamed."""
    return replied(question, stream(question.api, text, calls, finish))

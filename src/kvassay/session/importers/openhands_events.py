"""OpenHands' events, old and new, told as turns: the calls of one model response stand in several of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from kvassay.session.importers.dialogue import Stamp, assistant, read_message, read_tools, result, take_apart
from kvassay.session.importers.fields import RawCall, at, int_at, list_at, object_at, text_at, unix_s
from kvassay.session.transcript import Compaction, Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue, Message

_SILENT_KINDS = frozenset(
    {
        "ConversationStateUpdateEvent", "PauseEvent", "TokenEvent", "LLMCompletionLogEvent", "StreamingDeltaEvent",
        "CondensationRequest", "HookExecutionEvent", "ConversationErrorEvent", "InterruptEvent",
    }
)  # fmt: skip
_SILENT_NAMES = frozenset(
    {"change_agent_state", "agent_state_changed", "null", "recall", "start", "initialize", "condensation_request"}
)
_MOST_FORGOTTEN = 1_000_000
_NOT_ARGUMENTS = frozenset(
    {
        "thought", "blocking", "hidden", "confirmation_state", "security_risk", "is_confirmed", "keep_prompt",
        "is_input", "is_static", "cwd",
    }
)  # fmt: skip


class Events:
    """Takes events one by one; holds a turn's calls and their results back until the turn is complete."""

    def __init__(self) -> None:
        self._response: str | None = None
        self._texts: list[str] = []
        self._calls: list[RawCall] = []
        self._stamp: Stamp | None = None
        self._results: list[Item] = []
        self._places: dict[str, str] = {}  # where each event stands, by its id
        self._shown: list[Said] = []  # what the model is shown, but for the system prompt and a condensation's summary

    def take(self, event: JsonObject, place: str) -> Iterator[Item]:
        """Read one event."""
        stamp = Stamp(place, unix_s(event.get("timestamp")))
        self._places[_number(event.get("id"))] = place
        for item in self._newer(event, stamp) if "kind" in event else self._older(event, stamp):
            if isinstance(item, Said) and item.message.role != "system":
                self._shown.append(item)
            yield item

    def end(self) -> Iterator[Item]:
        """The turn that is under way, and its results."""
        if self._stamp:
            yield assistant("\n".join(filter(None, self._texts)), self._calls, self._stamp)
        yield from self._results
        self._response, self._texts, self._calls, self._stamp, self._results = None, [], [], None, []

    def _call(self, call: RawCall, text: str, response: str | None, stamp: Stamp) -> Iterator[Item]:
        if response is None or response != self._response:
            yield from self.end()
        self._response, self._stamp = response, self._stamp or stamp
        self._texts.append(text)
        self._calls.append(call)

    def _newer(self, event: JsonObject, stamp: Stamp) -> Iterator[Item]:
        kind = text_at(event, "kind")
        match kind:
            case "SystemPromptEvent":
                yield from _system(event, stamp)
            case "MessageEvent":
                yield from self.end()
                yield from read_message(_with_extra(event), stamp)
            case "ActionEvent":
                call = object_at(event, "tool_call")
                name = text_at(call, "name") or text_at(event, "tool_name") or ""
                raw = RawCall(text_at(event, "tool_call_id") or "", name, call.get("arguments"))
                text = take_apart(event.get("thought"), stamp).text
                yield from self._call(raw, text, text_at(event, "llm_response_id"), stamp)
            case "ObservationEvent" | "AgentErrorEvent" | "UserRejectObservation":
                self._results += _newer_result(event, stamp)
            case "Condensation":
                yield from self.end()
                yield self._condensation(event, stamp)
            case _ if kind not in _SILENT_KINDS:
                yield Oddity("unknown", f"event {kind}", stamp.place)

    def _condensation(self, told: JsonObject, stamp: Stamp) -> Compaction:
        """What is forgotten stands between the first messages and the newest: a summary takes its place."""
        gone = {self._places.get(id_) for id_ in _forgotten(told)}
        newest = list(takewhile(lambda said: said.place not in gone, reversed(self._shown)))[::-1]
        first = [said for said in self._shown[: len(self._shown) - len(newest)] if said.place not in gone]
        self._shown = [*first, *newest]
        summary = text_at(told, "summary")
        replacement = [said.message for said in first] + ([Message("user", summary)] if summary else [])
        return Compaction(tuple(replacement), len(newest), stamp.place, stamp.at_s)

    def _older(self, event: JsonObject, stamp: Stamp) -> Iterator[Item]:
        action, seen = text_at(event, "action"), text_at(event, "observation")
        args = object_at(event, "args")
        if action in _SILENT_NAMES or seen in _SILENT_NAMES:
            return
        if action == "system":
            yield from _older_system(args, stamp)
        elif action == "message":
            yield from self.end()
            text = text_at(args, "content") or ""
            said = Message("user", text) if event.get("source") == "user" else Message("assistant", text)
            yield Said(said, stamp.place, stamp.at_s)
        elif action == "condensation":
            yield from self.end()
            yield self._condensation(args, stamp)
        elif action and event.get("source") in ("agent", None):
            called = object_at(event, "tool_call_metadata")
            call = _recorded(called) or RawCall(_number(event.get("id")), action, _arguments(args))
            response = text_at(called, "model_response", "id")
            yield from self._call(call, text_at(args, "thought") or "", response, stamp)
        elif seen:
            self._results.append(_older_result(event, seen, stamp))
        else:
            yield Oddity("left out" if action else "unknown", f"event {action or 'no type'}", stamp.place)


def _system(event: JsonObject, stamp: Stamp) -> Iterator[Item]:
    prompts = (text_at(event, "system_prompt", "text"), text_at(event, "dynamic_context", "text"))
    yield Said(Message("system", "\n\n".join(filter(None, prompts))), stamp.place)
    wires = list_at(event, "tools")
    yield from _tools([wire for wire in wires if at(wire, "function") is not None], stamp)
    # Newer definitions name a class of OpenHands' and hold no schema.
    yield from (Oddity("left out", "tool without schema", stamp.place) for w in wires if at(w, "function") is None)


def _tools(wires: list[JsonValue], stamp: Stamp) -> Iterator[Item]:
    tools, oddities = read_tools(wires, stamp.place)
    yield from oddities
    yield Facts(tools=tools or None)


def _older_system(args: JsonObject, stamp: Stamp) -> Iterator[Item]:
    yield Said(Message("system", text_at(args, "content") or ""), stamp.place)
    yield from _tools(list_at(args, "tools"), stamp)


def _with_extra(event: JsonObject) -> JsonObject:
    message = object_at(event, "llm_message")
    return {**message, "content": [*list_at(message, "content"), *list_at(event, "extended_content")]}


def _newer_result(event: JsonObject, stamp: Stamp) -> list[Item]:
    id_ = text_at(event, "tool_call_id")
    error = text_at(event, "error") or text_at(event, "rejection_reason")
    if error is not None:
        return [result(id_, error, stamp, failed=True)]
    observation = object_at(event, "observation")
    content = observation.get("content", observation.get("output"))
    parts = take_apart(content, stamp)
    code = int_at(observation, "exit_code") or int_at(observation, "metadata", "exit_code")
    failed = observation.get("is_error") is True or bool(code and code > 0)
    extra = take_apart(event.get("extended_content"), stamp)
    return [*parts.oddities, result(id_, "\n".join([*parts.texts, *extra.texts]), stamp, failed=failed)]


def _forgotten(told: JsonObject) -> list[str]:
    """The ids of the events that a condensation forgets; of earlier releases, all from one to another."""
    first, last = int_at(told, "forgotten_events_start_id"), int_at(told, "forgotten_events_end_id")
    if first is not None and last is not None:
        return list(map(str, range(first, min(last, first + _MOST_FORGOTTEN) + 1)))
    return list(map(_number, list_at(told, "forgotten_event_ids")))


def _recorded(called: JsonObject) -> RawCall | None:
    """The call as the model's response holds it."""
    id_ = text_at(called, "tool_call_id")
    for choice in list_at(called, "model_response", "choices"):
        for call in list_at(choice, "message", "tool_calls"):
            if text_at(call, "id") == id_:
                function = object_at(call, "function")
                return RawCall(id_ or "", text_at(function, "name") or "", function.get("arguments"))
    return None


def _arguments(args: JsonObject) -> JsonObject:
    return {name: value for name, value in args.items() if name not in _NOT_ARGUMENTS}


def _older_result(event: JsonObject, seen: str, stamp: Stamp) -> Said:
    id_ = text_at(event, "tool_call_metadata", "tool_call_id") or _number(event.get("cause"))
    code = int_at(event, "extras", "exit_code")
    code = int_at(event, "extras", "metadata", "exit_code") if code is None else code
    failed = True if seen == "error" else None if code is None else code > 0
    return result(id_, text_at(event, "content") or "", stamp, failed=failed)


def _number(value: JsonValue) -> str:
    return str(value) if isinstance(value, int | str) else ""

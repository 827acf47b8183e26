"""gpt-oss: ``<|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading, first_span, piece
from kvassay.dialect.bodies import Ends, arguments, read_body
from kvassay.types import Call, JsonValue, ParseFault

name = "harmony"
markers = (
    "<|start|>",
    "<|channel|>",
    "<|constrain|>",
    "<|message|>",
    "<|call|>",
    "<|end|>",
    "<|return|>",
)
signs = ("<|channel|>", "<|message|>")
fingerprints = ("<|channel|>",)

_MESSAGE = re.compile(r"<\|message\|>")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_STOP = re.compile(r"(?P<close><\|(?:call|end|return)\|>)|<\|start\|>")
_TOKEN = re.compile(r"<\|(?:start|channel|constrain|message|call|end|return)\|>")
_ENDS = Ends(
    close=re.compile(r"<\|(?:call|end|return)\|>"),
    tag="<|call|>",
    boundary=_STOP,
    follow=re.compile(r"<\|start\|>"),
)
_PEOPLE = {"assistant", "user", "all"}  # recipients that are not tools: the message is plain text


@dataclass(slots=True)
class _Messages:
    """What the messages read so far amount to."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)


def parse(text: str, _: Declared) -> Reading:
    """See Dialect. The recipient may stand in the role or in the channel header, and the JSON of a call may be
    followed by any end-of-message token or by the end of the text (openai-harmony, llama.cpp).
    """
    text = reader.without_end_of_turn(text)
    messages, position = _Messages(), 0
    while mark := _MESSAGE.search(text, position):
        position = _message(text, position, mark, messages)
    _rest(text, position, messages)
    return Reading(
        content="".join(messages.content).strip(),
        reasoning="\n".join(messages.reasoning),
        calls=tuple(call for found in messages.pieces for call in found.calls),
        faults=tuple(fault for found in messages.pieces for fault in found.faults),
        span=first_span(messages.pieces),
    )


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect; content goes to the commentary channel before calls, to the final channel otherwise."""
    messages = [f"<|channel|>{'commentary' if calls else 'final'}<|message|>{content}"] if content else []
    for call in calls:
        header = f"<|channel|>commentary to=functions.{call.name} <|constrain|>json<|message|>"
        messages.append(header + json.dumps(call.arguments, ensure_ascii=False))
    closed = "<|end|><|start|>assistant".join(messages)
    return closed + ("<|call|>" if calls else "")


def _message(text: str, start: int, mark: re.Match[str], messages: _Messages) -> int:
    """Read one message; returns where the next begins."""
    before, token, header = text[start : mark.start()].rpartition("<|start|>")
    if not token and not header.lstrip().startswith(("<|channel|>", "to=", "assistant")):
        before = header.partition("<|channel|>")[0]
    messages.content.append(_TOKEN.sub("", before))
    recipients, channels = _RECIPIENT.findall(header), _CHANNEL.findall(header)
    recipient = recipients[-1] if recipients else ""
    if recipient.startswith("functions."):
        found = _call(text, start + len(before), mark.end(), recipient)
        messages.pieces.append(found)
        return found.end
    stop = _STOP.search(text, mark.end())
    body = text[mark.end() : stop.start() if stop else len(text)]
    end = max(stop.start(), stop.end("close")) if stop else len(text)
    if recipient and recipient not in _PEOPLE:
        fault = ParseFault(
            "leaked_recipient", f"the message goes to {recipient!r}, not to functions.*", text[start:end]
        )
        messages.pieces.append(piece(start, end, fault))
    elif channels and channels[-1] == "analysis":
        messages.reasoning.append(body.strip())
    else:
        messages.content.append(body)
    return end


def _call(text: str, start: int, body: int, recipient: str) -> Piece:
    def make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
        return (arguments(recipient.removeprefix("functions."), value, source),)

    return read_body(text, start, body, _ENDS, make)


def _rest(text: str, position: int, messages: _Messages) -> None:
    """What stands behind the last message: a header cut off, or plain text."""
    rest = text[position:]
    if "to=functions." in rest:
        fault = ParseFault("truncated", "the text ends in a call's header", rest)
        messages.pieces.append(piece(position, len(text), fault))
    elif not _TOKEN.search(rest):
        messages.content.append(rest)

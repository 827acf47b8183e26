"""Values of a trial to and from the store's columns: JSON for what people read, packed bytes for log-probabilities."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from kvassay.types import (
    BootFacts,
    Call,
    Channel,
    ChatReply,
    JsonObject,
    ParseFault,
    Position,
    Stop,
    Timings,
    Turn,
    WireCall,
)

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def dump(value: object) -> str:
    """Compact JSON, unicode kept; lone surrogates, which models do write, as escapes, since no UTF-8 can hold them."""
    return storable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: a lone surrogate becomes its JSON escape."""
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def turn_to_json(turn: Turn) -> str:
    """A turn as JSON."""
    return dump(asdict(turn))


def turn_from_json(text: str) -> Turn:
    """The inverse of turn_to_json."""
    data = json.loads(text)
    return Turn(
        **{
            **data,
            "calls": tuple(Call(**call) for call in data["calls"]),
            "faults": tuple(ParseFault(**fault) for fault in data["faults"]),
            "stop": Stop(data["stop"]),
            "channel": Channel(data["channel"]),
        }
    )


def reply_to_json(reply: ChatReply) -> str:
    """A chat reply as JSON."""
    return dump(asdict(reply))


def reply_from_json(text: str) -> ChatReply:
    """The inverse of reply_to_json."""
    data: JsonObject = json.loads(text)
    calls = data.pop("calls")
    timings = data.pop("timings")
    return ChatReply(
        **data,  # type: ignore[arg-type]  # written by reply_to_json
        calls=tuple(WireCall(**call) for call in calls),  # type: ignore[union-attr, arg-type]
        timings=Timings(**timings) if timings else None,  # type: ignore[arg-type]
    )


def facts_to_json(facts: BootFacts) -> str:
    """A boot's facts as JSON."""
    return dump(asdict(facts))


def facts_from_json(text: str) -> BootFacts:
    """The inverse of facts_to_json."""
    data = json.loads(text)
    return BootFacts(**{**data, "devices": tuple(data["devices"]), "warnings": tuple(data["warnings"])})


def pack_positions(positions: Sequence[Position]) -> bytes:
    """Zlib over one record per position: token id, log-probability, text, then (id, log-probability) × top."""
    out = bytearray(struct.pack("<I", len(positions)))
    for position in positions:
        text = position.text.encode("utf-8", "surrogatepass")
        out += struct.pack("<ifHH", position.token_id, position.logprob, len(text), len(position.top))
        out += text
        for token_id, logprob in position.top:
            out += struct.pack("<if", token_id, logprob)
    return zlib.compress(bytes(out), 6)


def unpack_positions(blob: bytes) -> tuple[Position, ...]:
    """The inverse of pack_positions; log-probabilities come back as 32-bit floats."""
    return tuple(positions_in(blob))


def positions_in(blob: bytes) -> Iterator[Position]:
    """The positions of a blob, one by one."""
    data = zlib.decompress(blob)
    (count,) = struct.unpack_from("<I", data)
    at = 4
    for _ in range(count):
        token_id, logprob, n_text, n_top = struct.unpack_from("<ifHH", data, at)
        at += struct.calcsize("<ifHH")
        text = data[at : at + n_text].decode("utf-8", "surrogatepass")
        at += n_text
        top = tuple(struct.iter_unpack("<if", data[at : at + 8 * n_top]))
        at += 8 * n_top
        yield Position(token_id, text, logprob, top)


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Token ids as little-endian int32."""
    return struct.pack(f"<{len(tokens)}i", *tokens)


def unpack_tokens(blob: bytes) -> tuple[int, ...]:
    """The inverse of pack_tokens."""
    return struct.unpack(f"<{len(blob) // 4}i", blob)


def load_list(text: str) -> list[JsonObject]:
    """A stored JSON list of objects."""
    return list(json.loads(text))


def load_object(text: str) -> JsonObject:
    """A stored JSON object."""
    return dict(json.loads(text))

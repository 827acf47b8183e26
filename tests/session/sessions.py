"""Sessions for tests: real sources, and a tokenizer that needs no model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache

from kvassay.session.corpus import Corpus, stdlib
from kvassay.session.ladder import Ladder, climb
from kvassay.types import Message, Tool

_TOKEN = re.compile(r" ?\w{1,7}|[^\w\s]+|\s+")


def count(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """About what a model's tokenizer counts: pieces of words, punctuation, line ends."""
    said = [message.content for message in messages]
    said += [json.dumps([call.name, call.arguments]) for message in messages for call in message.tool_calls]
    said += [json.dumps([tool.name, tool.description, tool.parameters]) for tool in tools]
    return sum(_tokens(text) for text in said) + 6 * len(said)


@cache
def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


@cache
def sources() -> Corpus:
    """Python's own sources, read once."""
    return stdlib()


@cache
def ladder(seed: int, *depths: int) -> Ladder:
    """A session over the sources with our own tools."""
    return climb(seed=seed, tools=None, corpus=sources(), depths=depths, count=count)

"""A conversation as chat templates that are rendered here are given it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jinja2 import TemplateError

from kvassay.errors import BackendError
from kvassay.types import JsonObject, Message, Tool
from kvassay.wire import message_to_openai, tool_to_openai

Template = Callable[[list[JsonObject], list[JsonObject] | None], str]
"""From messages and tools in OpenAI's form (None: no tools) to the prompt's text."""


def rendered(template: Template, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """The prompt's text. Arguments of earlier calls are objects, as most templates want them; where a template fails
    on those, strings (DeepSeek's joins them to its text). Raises BackendError with the template's own complaint.
    """
    offered = [tool_to_openai(tool) for tool in tools] or None
    try:
        return template([_with_objects(message) for message in messages], offered)
    except (TypeError, ValueError, TemplateError):
        try:
            return template([message_to_openai(message) for message in messages], offered)
        except (TypeError, ValueError, TemplateError) as error:
            raise BackendError(f"the model's chat template refused the conversation: {error}") from error


def _with_objects(message: Message) -> JsonObject:
    wire = message_to_openai(message)
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return wire

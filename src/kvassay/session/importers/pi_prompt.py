"""pi's system messages: prompt and tools, each message a change of those before it.

Read by: @earendil-works/pi-coding-agent 1.6.0 (``docs/session-format.md``) and @earendil-works/pi-ai 1.6.0
(``utils/transcript.js``, ``utils/text.js``), whose way of putting a prompt together is taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvassay.session.importers.dialogue import Stamp, read_tools, take_apart
from kvassay.session.importers.fields import list_at, object_at, text_at
from kvassay.session.transcript import Facts, Item
from kvassay.types import JsonObject, Tool


@dataclass(slots=True)
class Prompt:
    """The prompt and the tools as far as the session was read."""

    texts: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)

    def told(self, message: JsonObject, place: str) -> Iterator[Item]:
        """The session's prompt and tools from this message on."""
        said = take_apart(message.get("content"), Stamp(place)).text
        self.texts += [said] if said else []
        for name, text in object_at(message, "sections").items():
            if text is None:
                self.sections.pop(name, None)
            else:
                self.sections[name] = str(text)
        for gone in list_at(message, "toolsRemoved"):
            self.tools.pop(text_at(gone, "name") or "", None)
        added, oddities = read_tools(list_at(message, "toolsAdded"), place)
        yield from oddities
        self.tools |= {tool.name: tool for tool in added}
        yield Facts(
            system="\n\n".join(filter(None, (*self.texts, *self.sections.values()))), tools=tuple(self.tools.values())
        )

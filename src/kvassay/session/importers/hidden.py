"""What Roo Code hides from its model and leaves in the file: summaries and cuts, with what they stand for.

Read by: RooCodeInc/Roo-Code, ``src/core/condense/index.ts`` (``getEffectiveApiHistory``) and
``src/core/context-management/index.ts``: a summary (``isSummary``) or a cut (``isTruncationMarker``) is a message of
its own, and messages that it hides have its id as their ``condenseParent`` or ``truncationParent``. Earlier releases
put the summary, and all of them the cut, in front of the messages that they keep: those are told as if they came later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvassay.session.importers.dialogue import Stamp
from kvassay.session.importers.fields import at
from kvassay.session.transcript import Compaction, Item, Said
from kvassay.types import JsonValue, Message


@dataclass(slots=True)
class Hidden:
    """The task as far as it was read. ``kept`` is what no summary or cut has hidden: its first message, if that, and
    earlier summaries and cuts.
    """

    kept: list[Message] = field(default_factory=list)
    begun: bool = False

    def told(self, wire: JsonValue, items: Sequence[Item], stamp: Stamp) -> Iterator[Item]:
        """The items of one message, those of a summary or cut as the compaction that it is."""
        said = [item.message for item in items if isinstance(item, Said)]
        marks = at(wire, "isSummary") is True or at(wire, "isTruncationMarker") is True
        yield from (item for item in items if not (marks and isinstance(item, Said)))
        if marks:
            yield Compaction((*self.kept, *said), 0, stamp.place, stamp.at_s)
        if (marks or not self.begun) and not (at(wire, "condenseParent") or at(wire, "truncationParent")):
            self.kept += said
        self.begun = True

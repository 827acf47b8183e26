"""System messages at a session's start, told as a fact about it instead of as messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvassay.session.transcript import Facts, Item, Said


def with_system_apart(items: Iterable[Item]) -> Iterator[Item]:
    """Join the system messages in front of everything else, as chat templates take but one; later ones stay. A system
    prompt that is told as a fact stands in front of them.
    """
    system: list[str] = []
    opening = True
    for item in items:
        if isinstance(item, Facts) and item.system is not None:
            system.insert(0, item.system)
            yield replace(item, system="\n\n".join(system))
            continue
        if opening and isinstance(item, Said):
            if item.message.role == "system":
                system.append(item.message.content)
                continue
            opening = False
            yield from _told(system)
        yield item
    if opening:
        yield from _told(system)


def _told(system: list[str]) -> Iterator[Facts]:
    if system:
        yield Facts(system="\n\n".join(system))

"""The values of the doctor: what is known and how (Fact, Setup), and what follows from it (Finding)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from kvassay.backend.llama_log import LogFacts


class Severity(IntEnum):
    """How bad a finding is. The number orders; the name is the word printed."""

    NOTE = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Fact:
    """One value and how it is known: an argument, a variable, a default, a log line, an endpoint.

    ``stated`` is False for defaults: nobody set them.
    """

    value: str
    how: str
    stated: bool = True


@dataclass(frozen=True, slots=True)
class Overridden:
    """A variable whose value a flag of the command line replaces."""

    env: str
    env_value: str
    flag: str
    flag_value: str


@dataclass(frozen=True, slots=True)
class Setup:
    """One back end as far as it is known. ``engine`` is the capability table's name, None where it wasn't recognised.

    ``words`` is the command as it was found, secrets replaced; ``passed`` maps a fact's name to the place in ``words``
    where its value stands. ``before``, ``implied``, ``after``, ``shell`` and ``typographic`` are the Command's.
    ``unresolved`` are words that are variables of unknown value: more settings may hide there. ``style`` says how a
    changed setting is written down: as a ``command``, in a ``compose``, ``systemd``, ``quadlet`` (podman's
    ``.container``) or ``llama-swap`` file, or, without any command, as ``env``, ``yaml`` or ``json``; variables alone
    also by what sets them: ``setx``, ``launchctl``, ``set``, ``$env``. In a compose file ``entrypoint`` says that the
    whole command stands there, and ``env_list`` that its variables are a list.
    """

    label: str
    engine: str | None
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    words: tuple[str, ...] = ()
    passed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    style: str = "command"
    before: tuple[str, ...] = ()
    implied: bool = False
    after: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    entrypoint: bool = False
    env_list: bool = False
    overridden: tuple[Overridden, ...] = ()
    repeated: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    typographic: tuple[str, ...] = ()
    log: LogFacts | None = None

    def value(self, name: str) -> str | None:
        """The value of a fact, None where it isn't known."""
        found = self.facts.get(name)
        return found.value if found else None

    def number(self, name: str) -> int | None:
        """The value as a whole number, None where it is unknown or none."""
        text = self.value(name)
        try:
            return int(text) if text is not None else None
        except ValueError:
            return None

    def stated(self, name: str) -> bool:
        """Whether somebody set it, or it was read back: no default."""
        found = self.facts.get(name)
        return found is not None and found.stated

    def evidence(self, *names: str) -> tuple[str, ...]:
        """The facts of these names as lines, the unknown ones left out."""
        known = ((name, self.facts.get(name)) for name in names)
        return tuple(f"{name} = {fact.value} ({fact.how})" for name, fact in known if fact is not None)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: ``what`` in one sentence, ``why`` it matters, the ``evidence`` it rests on, and ``fix``: the
    changed line, ready to paste, where there is one. ``source`` names where the rule's fact was read.
    """

    severity: Severity
    what: str
    why: str
    evidence: tuple[str, ...] = ()
    fix: str | None = None
    source: str = ""
    rule: str = ""
    label: str = ""


SECRET = "<secret>"  # noqa: S105 - what is printed in a secret's place

"""From the pairs a user asks about to the arms of a run: the 2×2 that isolates K from V, or the grid as given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kvassay.address import server_url, shown
from kvassay.backend import require_pair
from kvassay.backend.attach import KEYS
from kvassay.backend.catalog import CATALOG
from kvassay.backend.kv import parse_pair
from kvassay.backend.layers import with_layers
from kvassay.errors import ConfigError, PairRefused
from kvassay.settings import RunSettings
from kvassay.types import Arm, KVConfig, Role


def arms_of(settings: RunSettings, types: Sequence[str]) -> tuple[Arm, ...]:
    """The reference first, the candidates as asked, its second boot (A/A) last.

    Raises ConfigError for unknown types, for pairs given with endpoints, and where there is nothing to run.
    """
    if settings.attach:
        return _attached(settings, types)
    if not (settings.pairs or settings.k_types or settings.v_types):
        raise ConfigError(
            "no K/V pair to judge is named",
            hint="For example --kv q8_0/q4_0 (K alone, V alone and both are measured), or --k f16,q8_0 --v f16,q4_0.",
        )
    reference = _taken(parse_pair(settings.reference, types), settings)
    candidates = _distinct(_candidates(settings, reference, types), reference)
    control = _control(settings, (reference, *candidates), types)
    repeat = (Arm(reference, Role.REPEAT),) if settings.repeat else ()
    return (Arm(reference, Role.REFERENCE), *(Arm(kv) for kv in candidates), *control, *repeat)


def _taken(pair: KVConfig, settings: RunSettings) -> KVConfig:
    """The pair, if the engine has it at all: ConfigError comes before the first boot of another one."""
    try:
        require_pair(settings.backend, pair)
    except PairRefused as error:
        raise ConfigError(error.message, hint=error.hint) from None
    return pair


def _can_stand(half: KVConfig, settings: RunSettings) -> bool:
    """Whether the engine has the pair that isolates a half: some types stand on both halves or on none."""
    try:
        require_pair(settings.backend, half)
    except PairRefused:
        return False
    return True


def _control(settings: RunSettings, others: Sequence[KVConfig], types: Sequence[str]) -> tuple[Arm, ...]:
    if settings.control is None:
        return ()
    control = _taken(parse_pair(settings.control, types), settings)
    if control in others:
        raise ConfigError(
            f"the positive control {control} is itself under test", hint="Choose another, harsher pair for --control."
        )
    return (Arm(control, Role.CONTROL),)


def _candidates(settings: RunSettings, reference: KVConfig, types: Sequence[str]) -> Iterator[KVConfig]:
    pairs = [_named(settings, text, types) for text in settings.pairs]
    if len(pairs) == 1 and settings.isolate and not (settings.k_types or settings.v_types):
        halves = _halves(pairs[0], reference, CATALOG[settings.backend].clean)
        yield from (half for half in halves if _can_stand(half, settings))
    yield from pairs
    for k in settings.k_types or ((reference.k,) if settings.v_types else ()):
        for v in settings.v_types or (reference.v,):
            yield _named(settings, f"{k}/{v}", types)


def _halves(pair: KVConfig, reference: KVConfig, clean: str | None) -> Iterator[KVConfig]:
    """K alone and V alone. Where the engine takes the reference's type on both halves only, the half that isn't varied
    has the type ``clean``, and clean on both halves is measured too: against it K and V are told apart.
    """
    k, v = reference.k, reference.v
    if clean and clean not in (k, v) and (k, v) != (pair.k, pair.v):
        k = v = clean
        yield KVConfig(k, v, pair.rotation)
    yield KVConfig(pair.k, v, pair.rotation)
    yield KVConfig(k, pair.v, pair.rotation)


def _named(settings: RunSettings, text: str, types: Sequence[str]) -> KVConfig:
    """A pair that the user names; --k-layers and --v-layers hold for it, not for the reference."""
    pair = _taken(parse_pair(text, types, by_layer=CATALOG[settings.backend].by_layer), settings)
    if not (settings.k_layers or settings.v_layers):
        return pair
    k, v = with_layers(pair.k, settings.k_layers), with_layers(pair.v, settings.v_layers)
    return _taken(replace(parse_pair(f"{k}/{v}", types, by_layer=True), rotation=pair.rotation), settings)


def _distinct(pairs: Iterator[KVConfig], reference: KVConfig) -> tuple[KVConfig, ...]:
    return tuple(dict.fromkeys(pair for pair in pairs if pair != reference))


def _attached(settings: RunSettings, types: Sequence[str]) -> tuple[Arm, ...]:
    if settings.pairs or settings.k_types or settings.v_types or settings.control:
        raise ConfigError(
            "--kv, --k, --v and --control start servers; with --attach the pairs are those of the running ones."
        )
    stated = [_endpoint(text, types) for text in settings.attach]
    wanted = parse_pair(settings.reference, types)
    first = next((pair for pair, _ in stated if pair == wanted), stated[0][0])
    arms: list[Arm] = []
    for pair, url in sorted(stated, key=lambda item: item[0] != first):
        known = sum(arm.kv == pair for arm in arms)
        if known > (pair == first):
            raise ConfigError(f"--attach names {pair} too often; only the reference may have a second server.")
        role = (Role.REFERENCE, Role.REPEAT)[known] if pair == first else Role.CANDIDATE
        arms.append(Arm(pair, role, endpoint=url))
    return tuple(sorted(arms, key=lambda arm: arm.role is Role.REPEAT))


def _endpoint(text: str, types: Sequence[str]) -> tuple[KVConfig, str]:
    pair, equals, url = text.partition("=")
    if not equals or "://" in pair:
        raise ConfigError(
            f"{shown(text)}, given to --attach, is not PAIR=URL", hint="For example: f16/f16=http://127.0.0.1:8080"
        )
    return parse_pair(pair, types), server_url(url, keys=KEYS)

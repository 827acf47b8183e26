"""A sequential test that a failure rate has left its baseline, valid at any time: look after every turn, no correction.

Null hypothesis: given the past, each turn fails with probability at most ``rate``. For an alternative q > rate the bet
``L = q/rate`` on a failure, ``(1 − q)/(1 − rate)`` on a success has expectation ≤ 1 under it. The e-process averages
these bets over four alternatives and over the turn at which the change began, with prior weights 1/(j(j+1)) that sum to
1 (Ramdas, Grünwald, Vovk, Shafer, Statistical Science 38 (2023) 576, on mixtures of test martingales). By Ville's
inequality the probability that it ever reaches 1/α is at most α: the false-alarm rate over the whole life of a subject.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scipy.special import betaincinv

LEAST_RATE = 0.001
"""A baseline below this counts as this: one failure in a thousand turns is no news."""

_REACH = (0.1, 0.25, 0.5, 0.75)  # alternatives: this far from the baseline towards 1
_CEILING = 1e200


@dataclass(frozen=True, slots=True)
class Detector:
    """The test's state after some turns. ``wealth`` holds, for each alternative, the bets of all begun starts."""

    rate: float
    threshold: float
    turns: int = 0
    failures: int = 0
    wealth: tuple[float, ...] = (0.0,) * len(_REACH)
    fired: bool = False

    @property
    def evidence(self) -> float:
        """The e-value now: the mean over the alternatives, and the weight of starts still to come."""
        return sum(self.wealth) / len(self.wealth) + 1 / (self.turns + 1)

    def seen(self, *, failed: bool) -> Detector:
        """The state after one more turn; ``fired`` once the threshold was reached, and for ever."""
        turns = self.turns + 1
        begun = 1 / (turns * (turns + 1))
        wealth = tuple(
            min(_CEILING, _bet(self.rate, reach, failed=failed) * (held + begun))
            for held, reach in zip(self.wealth, _REACH, strict=True)
        )
        after = replace(self, turns=turns, failures=self.failures + failed, wealth=wealth)
        return replace(after, fired=self.fired or after.evidence >= self.threshold)


def _bet(rate: float, reach: float, *, failed: bool) -> float:
    alternative = rate + reach * (1 - rate)
    return alternative / rate if failed else (1 - alternative) / (1 - rate)


def stated(rate: float, *, false_alarm_rate: float) -> Detector:
    """Test against a rate that the user states, such as the assay's."""
    return Detector(max(rate, LEAST_RATE), 1 / false_alarm_rate)


def learnt(failures: int, turns: int, *, false_alarm_rate: float) -> Detector | None:
    """Test against a rate seen before: its upper Clopper–Pearson bound. Half of the false-alarm rate is spent on that
    bound, half on the test. None where almost all turns failed already: there is nothing left to leave.
    """
    level = false_alarm_rate / 2
    bound = 1.0 if failures >= turns else float(betaincinv(failures + 1, turns - failures, 1 - level))
    return Detector(max(bound, LEAST_RATE), 1 / level) if bound < 0.95 else None  # noqa: PLR2004 - "almost all"

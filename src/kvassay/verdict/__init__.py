"""Effects become a verdict in words a person understands."""

from kvassay.verdict.controls import Measurements
from kvassay.verdict.effects import Effect, Outcomes, State, effect
from kvassay.verdict.judging import ArmVerdict, Verdict, judge

__all__ = ["ArmVerdict", "Effect", "Measurements", "Outcomes", "State", "Verdict", "effect", "judge"]

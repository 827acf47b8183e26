"""Text + schema + context → outcome."""

from __future__ import annotations

from kvassay.grade.context import Context
from kvassay.grade.grader import Check, grade

__all__ = ["Check", "Context", "grade"]

"""The live page and the reports say the same of a class."""

from __future__ import annotations

import re
from importlib.resources import files

from kvassay.report.words import OUTCOMES
from kvassay.types import OutcomeClass


def test_the_page_calls_classes_as_the_reports_do() -> None:
    """One word for one thing; only "right" is "fine" here, where nobody knows the right answer."""
    page = files("kvassay.guard").joinpath("page.js").read_text("utf-8")
    words = dict(re.findall(r'\b([MP]\d+): "([^"]+)"', page))
    assert words == {kind.value: said for kind, said in OUTCOMES.items() if kind is not OutcomeClass.CORRECT}

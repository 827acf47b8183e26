"""A brace too many before a bare call makes it malformed, as one behind it does."""

from __future__ import annotations

import pytest

from kvassay.dialect import parse

CALL = '{"name": "f", "arguments": {"x": 1}}'


@pytest.mark.parametrize("text", [f"{{{CALL}", f"{{ {CALL}}}", f"Sure.\n{{\n{CALL}", f"{CALL}}}"])
def test_a_stray_brace_beside_a_bare_call_is_a_fault(text: str) -> None:
    """No strict reader could read it, so no call is returned and the piece is reported."""
    parsed = parse(text, tools=[{"name": "f"}])
    assert parsed["calls"] == []
    assert [fault["class"] for fault in parsed["faults"]] == ["M1"]


@pytest.mark.parametrize("text", [CALL, f"Sure: {CALL}.", f"A set {{}} and {CALL}"])
def test_braces_of_prose_elsewhere_do_no_harm(text: str) -> None:
    """Only a brace that stands directly before the call counts."""
    assert [call["name"] for call in parse(text, tools=[{"name": "f"}])["calls"]] == ["f"]

"""What the dialect tests share: values to carry, and tools to call."""

from __future__ import annotations

from hypothesis import strategies as st

from kvassay.dialect.catalog import markers
from kvassay.types import Call, JsonObject, JsonValue

_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_marked = st.lists(_text | st.sampled_from([*markers(), "```", "```json", "</function>", "{", '"}', ";"]), max_size=4)
strings = _text | _marked.map("".join)
"""Any text, markers of all dialects included."""

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    _scalars | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)
words = st.from_regex(r"[a-z][a-z_]{0,11}", fullmatch=True)
calls = st.builds(Call, words, st.dictionaries(strings, json_values, max_size=4))


def tool(name: str, **types: str | list[str]) -> JsonObject:
    """A tool in OpenAI's form with parameters of these types."""
    properties: JsonObject = {key: {"type": list(t) if isinstance(t, list) else t} for key, t in types.items()}
    schema: JsonObject = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": schema}}

"""Real formats, dialect by dialect, as templates teach them and as reference parsers' own tests have them."""

# ruff: noqa: E501, ISC004 (a recorded output stands in one line where it can)
from __future__ import annotations

import pytest

from dialect.cases import tool
from kvassay.dialect import parse
from kvassay.types import JsonObject

TOOLS = [
    tool("f", s="string", i="integer", n="number", b="boolean", o="object", a="array", u=["string", "null"]),
    tool("g"),
]
F = ("f", {"s": "x", "i": 1})
G = ("g", {})
_HARMONY = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant"
_V3 = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>"
_DSML = '<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="s" string="true">x</｜DSML｜parameter>\n'
_KIMI = "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"

# dialect, text, calls, content, reasoning: all well-formed
GOOD: list[tuple[str, str, list[tuple[str, JsonObject]], str, str]] = [
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {"s": "x", "i": 1}}\n</tool_call>', [F], "", ""),
    ("hermes", 'Hi.<tool_call>{"arguments": {}, "name": "g"}</tool_call>\nBye.', [G], "Hi.\nBye.", ""),
    ("hermes", '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>\n' * 2, [G, G], "", ""),
    ("hermes", '<think>\nWhy?\n</think>\n\n<tool_call>\n{"name": "g", "arguments": {}}', [G], "", "Why?"),
    ("hermes", '<tool_call>{"name": "g", "arguments": {}}</tool_ca', [G], "", ""),
    ("hermes", '<tool_call>{"name": "g", "arguments": {}}</tool_call><|im_end|>', [G], "", ""),
    (
        "hermes",
        '<tool_call>{"name": "z", "arguments": {}}</tool_call> no.</think>\n<tool_call>{"name": "g", "arguments": {}}',
        [G],
        "",
        '<tool_call>{"name": "z", "arguments": {}}</tool_call> no.',
    ),
    (
        "hermes",
        '<tool_call>{"name": "f", "arguments": {"s": "</tool_call> <think> </think> \\u00e9 {\\"a\\": 1}"}}</tool_call>',
        [("f", {"s": '</tool_call> <think> </think> é {"a": 1}'})],
        "",
        "",
    ),
    (
        "hermes",
        '<think>no <tool_call>{"name": "g", "arguments": {}}</tool_call></think>OK',
        [],
        "OK",
        'no <tool_call>{"name": "g", "arguments": {}}</tool_call>',
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=f>\n<parameter=s>\nx\n</parameter>\n<parameter=i>\n1\n</parameter>\n</function>\n</tool_call>",
        [F],
        "",
        "",
    ),
    ("qwen3-coder", "Ok.\n<function=g>\n</function>\n</tool_call>", [G], "Ok.", ""),
    ("qwen3-coder", "<function=g>\n</function>\n<b>Done</b>", [G], "<b>Done</b>", ""),
    (
        "qwen3-coder",
        "<seed:tool_call><function=g></function><function=g></function></seed:tool_call>",
        [G, G],
        "<seed:tool_call></seed:tool_call>",
        "",
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=g>\n</function>\n</tool_call>\n<tool_call><function=g></function>",
        [G, G],
        "",
        "",
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=f>\n<parameter=s>\n  a\n\n  <b>\n\n</parameter>\n</function>\n</tool_call>",
        [("f", {"s": "  a\n\n  <b>\n"})],
        "",
        "",
    ),
    (
        "qwen3-coder",
        "<tool_call><function=f><parameter=s>\nend it with </parameter> and </tool_call>\n</parameter></function></tool_call>",
        [("f", {"s": "end it with </parameter> and </tool_call>"})],
        "",
        "",
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=f>\n<parameter=s>\n<tool_call>\n<function=g>\n<parameter=k>\nv\n</parameter>\n</function>\n"
        "</tool_call>\n</parameter>\n</function>\n</tool_call>",
        [("f", {"s": "<tool_call>\n<function=g>\n<parameter=k>\nv\n</parameter>\n</function>\n</tool_call>"})],
        "",
        "",
    ),
    (
        "qwen3-coder",
        '<function=f><parameter=b>True</parameter><parameter=o>{"k": [1]}</parameter><parameter=u>null</parameter>'
        "<parameter=n>2.5</parameter><parameter=s>null</parameter></function>",
        [("f", {"b": True, "o": {"k": [1]}, "u": None, "n": 2.5, "s": "null"})],
        "",
        "",
    ),
    (
        "qwen3-coder",
        "<function=f><parameter=i>many</parameter><parameter=z>7</parameter></function>",
        [("f", {"i": "many", "z": "7"})],
        "",
        "",
    ),
    (
        "glm4",
        "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>x</arg_value>\n<arg_key>i</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
        [F],
        "",
        "",
    ),
    (
        "glm4",
        "Why?</think><tool_call>f<arg_key>s</arg_key><arg_value>x</arg_value><arg_key>i</arg_key><arg_value>1</arg_value></tool_call>",
        [F],
        "",
        "Why?",
    ),
    ("glm4", "Ok<tool_call>g</tool_call><tool_call>g\n</tool_call>", [G, G], "Ok", ""),
    (
        "glm4",
        "<tool_call>f<arg_key>s</arg_key><arg_value> has </think> and <tool_call> in it</arg_value></tool_call>",
        [("f", {"s": " has </think> and <tool_call> in it"})],
        "",
        "",
    ),
    ("glm4", '\nf\n{"s": "x", "i": 1}', [F], "", ""),
    ("llama3", '{"name": "f", "parameters": {"s": "x", "i": 1}}', [F], "", ""),
    (
        "llama3",
        '{"name": "g", "parameters": {}}; {"type": "function", "name": "g", "parameters": {}}<|eom_id|>',
        [G, G],
        "",
        "",
    ),
    ("llama3", '<|python_tag|>{"name": "f", "parameters": {"s": "x", "i": 1}}<|eom_id|>', [F], "", ""),
    (
        "llama3",
        '<|python_tag|>brave_search.call(query="a, b)", n=2)',
        [("brave_search", {"query": "a, b)", "n": 2})],
        "",
        "",
    ),
    ("llama3", "<|python_tag|>import os\nprint(os)", [("code_interpreter", {"code": "import os\nprint(os)"})], "", ""),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "f", "arguments": {"s": "x", "i": 1}}, {"name": "g", "arguments": {}, "id": "1"}]</s>',
        [F, G],
        "",
        "",
    ),
    ("mistral", '[TOOL_CALLS][{"name": "g", "arguments": {}}]\n\nDone.', [G], "Done.", ""),
    ("mistral", 'Hi[TOOL_CALLS]f[ARGS]{"s": "x", "i": 1}[TOOL_CALLS]g[CALL_ID]123456789[ARGS]{}', [F, G], "Hi", ""),
    ("mistral", "[THINK]maybe [TOOL_CALLS]z[ARGS]{}[/THINK][TOOL_CALLS]g{}", [G], "", "maybe [TOOL_CALLS]z[ARGS]{}"),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "[TOOL_CALLS]g[ARGS]{}"}', [("f", {"s": "[TOOL_CALLS]g[ARGS]{}"})], "", ""),
    (
        "harmony",
        _HARMONY + '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"s": "x", "i": 1}<|call|>',
        [F],
        "",
        "Think.",
    ),
    ("harmony", _HARMONY + " to=functions.g<|channel|>analysis<|message|>{}", [G], "", "Think."),
    ("harmony", " to=functions.g<|channel|>commentary json<|message|>{}<|call|>", [G], "", ""),
    (
        "harmony",
        "<|channel|>commentary<|message|>Hi.<|end|><|start|>assistant<|channel|>commentary to=functions.g<|message|>{}",
        [G],
        "Hi.",
        "",
    ),
    (
        "harmony",
        '<|channel|>commentary to=functions.f<|message|>{"s": "<|call|><|end|>"}',
        [("f", {"s": "<|call|><|end|>"})],
        "",
        "",
    ),
    ("harmony", _HARMONY + "<|channel|>final<|message|>Done.<|return|>", [], "Done.", "Think."),
    (
        "harmony",
        "<|channel|> commentary to=functions.g<|message|> {}<|end|><|start|> assistant to=functions.g<|channel|> commentary <|constrain|> json<|message|> {}",
        [G, G],
        "",
        "",
    ),
    (
        "deepseek",
        f'<｜tool▁calls▁begin｜>{_V3}f\n```json\n{{"s": "x", "i": 1}}\n```<｜tool▁call▁end｜>\n{_V3}g\n```json\n{{}}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>',
        [F, G],
        "",
        "",
    ),
    (
        "deepseek",
        'Why?</think>Ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"s": "x", "i": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [F],
        "Ok",
        "Why?",
    ),
    (
        "deepseek",
        f'<｜tool▁calls▁begin｜>{_V3}f\n```json\n{{"s": "```<｜tool▁call▁end｜>"}}\n```<｜tool▁call▁end｜>',
        [("f", {"s": "```<｜tool▁call▁end｜>"})],
        "",
        "",
    ),
    (
        "deepseek",
        f'<｜DSML｜function_calls>\n{_DSML}<｜DSML｜parameter name="i" string="false">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name="g">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
        [F, G],
        "",
        "",
    ),
    ("deepseek", f"<｜DSML｜tool_calls>\n{_DSML}</｜DSML｜invoke>\n</｜DSML｜tool_calls>", [("f", {"s": "x"})], "", ""),
    (
        "kimi-k2",
        f'Ok<|tool_calls_section_begin|>{_KIMI}{{"s": "x", "i": 1}}<|tool_call_end|><|tool_call_begin|>g:1<|tool_call_argument_begin|>{{}}<|tool_call_end|><|tool_calls_section_end|>',
        [F, G],
        "Ok",
        "",
    ),
    ("kimi-k2", f'{_KIMI}{{"s": "x", "i": 1}}', [F], "", ""),
    (
        "kimi-k2",
        f'{_KIMI}{{"s": "<|tool_call_end|>"}}<|tool_call_begin|>functions.g:1<|tool_call_argument_begin|> {{}}',
        [("f", {"s": "<|tool_call_end|>"}), G],
        "",
        "",
    ),
    (
        "minimax-m2",
        'Why?\n</think>\n\n<minimax:tool_call>\n<invoke name="f">\n<parameter name="s">x</parameter>\n<parameter name="i">1</parameter>\n</invoke>\n<invoke name="g">\n</invoke>\n</minimax:tool_call>[e~[',
        [F, G],
        "",
        "Why?",
    ),
    (
        "minimax-m2",
        '<minimax:tool_call><invoke name="f"><parameter name="s"> a</b> \n</parameter></invoke>',
        [("f", {"s": " a</b> \n"})],
        "",
        "",
    ),
    ("fenced", 'Ok:\n```json\n{"name": "f", "arguments": {"s": "x", "i": 1}}\n```\nDone.', [F], "Ok:\n\nDone.", ""),
    ("fenced", '```tool_call\n[{"name": "g", "parameters": {}}, {"name": "g", "arguments": {}}]\n```', [G, G], "", ""),
    ("fenced", '```json\n{"name": "f", "arguments": {"s": "```\\n"}}', [("f", {"s": "```\n"})], "", ""),
    ("json", '{"name": "f", "arguments": {"s": "x", "i": 1}}', [F], "", ""),
    (
        "json",
        'Use [{"name": "g", "arguments": {}}, {"name": "undeclared", "arguments": {}}] now',
        [G, ("undeclared", {})],
        "Use  now",
        "",
    ),
    (
        "json",
        '{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\\"s\\": \\"x\\", \\"i\\": 1}"}}',
        [F],
        "",
        "",
    ),
    ("json", '{"name": "g", "arguments": {}}\n{"name": "g", "arguments": {}}', [G, G], "", ""),
]

GOOD += [
    (
        "fenced",
        '```json\n{"name": "f", "arguments": {"s": "<|python_tag|> [TOOL_CALLS]g{} <tool_call>"}}\n```',
        [("f", {"s": "<|python_tag|> [TOOL_CALLS]g{} <tool_call>"})],
        "",
        "",
    ),
    (
        "json",
        '{"name": "f", "arguments": {"s": "<tool_call><function=g></function></tool_call> </think>"}}',
        [("f", {"s": "<tool_call><function=g></function></tool_call> </think>"})],
        "",
        "",
    ),
    (
        "kimi-k2",
        "<think>Now.<|tool_calls_section_begin|><|tool_call_begin|>functions.g:0<|tool_call_argument_begin|>{}",
        [G],
        "",
        "Now.",
    ),
    (
        "hermes",
        '<think>a</think>Hi <think>b</think><tool_call>{"name": "g", "arguments": {}}</tool_call>',
        [G],
        "Hi",
        "a\nb",
    ),
]

# dialect, text, calls beside the fault, the fault's kinds
BAD: list[tuple[str, str, list[tuple[str, JsonObject]], list[str]]] = [
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {"s": "x', [], ["truncated"]),
    ("hermes", "<tool_call>", [], ["truncated"]),
    ("hermes", "<tool_call>\n</tool_call>", [], ["empty"]),
    (
        "hermes",
        '<tool_call>{"name": "f", "arguments": {"i": }}</tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>',
        [G],
        ["json_invalid"],
    ),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"i": 1}</tool_call>', [], ["json_invalid"]),
    ("hermes", '<tool_call>{"name": "g", "arguments": {}}}</tool_call>', [], ["stray_tail"]),
    (
        "hermes",
        '<tool_call>{"name": "g", "arguments": {}}{"name": "g", "arguments": {}}</tool_call>',
        [],
        ["concatenated"],
    ),
    (
        "hermes",
        '<tool_call>{"name": "g", "arguments": {}}<tool_call>{"name": "g", "arguments": {}}</tool_call>',
        [G],
        ["stray_tail"],
    ),
    ("hermes", '<tool_call>[{"name": "g", "arguments": {}}]</tool_call>', [], ["not_an_object"]),
    ("hermes", '<tool_call>{"name": "g", "arguments": "{}"}</tool_call>', [], ["not_an_object"]),
    ("hermes", '<tool_call>{"arguments": {}}</tool_call>', [], ["missing_name"]),
    ("hermes", '<tool_call>{"name": "g"}</tool_call>', [], ["missing_arguments"]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"i": NaN}}</tool_call>', [], ["json_invalid"]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"i": 1, "i": 2}}</tool_call>', [], ["json_invalid"]),
    ("hermes", '<think>so <tool_call>{"name": "g", "arguments": {}}</tool_call>', [], ["leaked_in_thinking"]),
    ("hermes", 'I call {"name": "g", "arguments": {}} now', [], ["leaked"]),
    ("hermes", "I call it.</tool_call>", [], ["leaked"]),
    ("hermes", "<tool_call>\n<function=g>\n</function>\n</tool_call>", [], ["leaked"]),
    ("qwen3-coder", "<tool_call>\n<function=f>\n<parameter=s>\nx", [], ["truncated"]),
    ("qwen3-coder", "<tool_call>\n<function=f>\n<parameter=s>\nx\n</parameter>\n", [], ["truncated"]),
    (
        "qwen3-coder",
        "<tool_call>\n<function=f>\n<parameter=s>\nx\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call>",
        [G],
        ["malformed"],
    ),
    ("qwen3-coder", "<tool_call>\n<function=f>\nx\n</function>\n</tool_call>", [], ["malformed"]),
    (
        "qwen3-coder",
        "<function=f><parameter=i>1</parameter><parameter=i>2</parameter></function>",
        [],
        ["json_invalid"],
    ),
    ("qwen3-coder", "<tool_call></tool_call>", [], ["empty"]),
    ("qwen3-coder", '<tool_call>{"name": "g", "arguments": {}}</tool_call>', [], ["leaked"]),
    ("glm4", "<tool_call>f<arg_key>s</arg_key><arg_value>x", [], ["truncated"]),
    ("glm4", "<tool_call>g", [], ["truncated"]),
    ("glm4", "<tool_call>f<arg_key>s</arg_key></tool_call><tool_call>g</tool_call>", [G], ["malformed"]),
    ("llama3", '{"name": "f", "parameters": {"s": "x', [], ["truncated"]),
    ("llama3", '<|python_tag|>{"name": "f", "parameters": {"s": "x"', [], ["truncated"]),
    ("llama3", '<|python_tag|>brave_search.call(query="x', [], ["truncated"]),
    ("llama3", "<|python_tag|>brave_sea", [], ["truncated"]),
    ("mistral", '[TOOL_CALLS][{"name": "g", "arguments": {}}', [], ["truncated"]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": ', [], ["truncated"]),
    ("mistral", "[TOOL_CALLS]g", [], ["truncated"]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "x"} and more', [], ["stray_tail"]),
    ("mistral", '[TOOL_CALLS][{"name": "g", "arguments": {}}]]', [], ["stray_tail"]),
    ("mistral", "[TOOL_CALLS]f[ARGS]{bad}[TOOL_CALLS]g[ARGS]{}", [G], ["json_invalid"]),
    ("harmony", '<|channel|>commentary to=functions.f<|message|>{"s": "x', [], ["truncated"]),
    ("harmony", "<|channel|>commentary to=functions.f <|con", [], ["truncated"]),
    ("harmony", "<|channel|>commentary to=functions.g<|message|><|call|>", [], ["empty"]),
    ("harmony", "<|channel|>commentary to=functions.g<|message|>[]<|call|>", [], ["not_an_object"]),
    ("harmony", "<|channel|>commentary to=container.exec<|message|>ls<|call|>", [], ["leaked_recipient"]),
    ("deepseek", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"s": "x"}', [], ["truncated"]),
    ("deepseek", "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜>", [], ["leaked"]),
    ("deepseek", f"<｜DSML｜function_calls>\n{_DSML}", [], ["truncated"]),
    (
        "deepseek",
        '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="o" string="false">{</｜DSML｜parameter></｜DSML｜invoke><｜DSML｜invoke name="g"></｜DSML｜invoke>',
        [G],
        ["json_invalid"],
    ),
    ("kimi-k2", _KIMI + '{"s": "x', [], ["truncated"]),
    ("kimi-k2", "<|tool_call_begin|>f<|tool_call_argument_begin|>{}<|tool_call_end|>", [], ["missing_name"]),
    (
        "minimax-m2",
        '<minimax:tool_call><invoke name="g"></invoke><invoke name="f"><parameter name="s">x',
        [G],
        ["truncated"],
    ),
    (
        "minimax-m2",
        '<minimax:tool_call><invoke name="f"><parameter name="s">x</invoke><invoke name="g"></invoke></minimax:tool_call>',
        [G],
        ["malformed"],
    ),
    ("minimax-m2", '<minimax:tool_call><invoke name="g"></invoke><invo', [G], ["truncated"]),
    ("fenced", '```json\n{"name": "f", "arguments": {"s": "x"\n```', [], ["json_invalid"]),
    ("fenced", '```json\n{"name": "f", "arguments": {"s": "x', [], ["truncated"]),
    ("fenced", '```json\n{"name": "g", "arguments": {}}\n{"name": "g", "arguments": {}}\n```', [], ["concatenated"]),
    ("fenced", '```tool_call\n{"tool": "g"}\n```', [], ["missing_name"]),
    ("json", '{"name": "f", "arguments": {"s": "x', [], ["truncated"]),
    ("json", 'I call {"name": "f", "arguments": {"s": x}} now', [], ["leaked"]),
    ("json", '{"name": "g", "arguments": {}}}', [], ["stray_tail"]),
    ("json", '{"name": "g", "arguments": {}}{"name": "g", "arguments": {}}', [], ["concatenated"]),
    ("json", '{"name": "f", "s": "x"}', [], ["missing_arguments"]),
]

BAD += [
    ("qwen3-coder", '{"name": "f", "arguments": {"s": "<function=g></function>"}}', [], ["leaked"]),
    ("json", '[{"name": "f", "arguments": {"s": "</think>"}}, {"name": "g", "arguments": {}}', [], ["truncated"]),
]

NOTHING = [
    "",
    "Just prose, with {braces}, [lists] and `code`.",
    '{"name": "Ada", "born": 1815}',
    '```json\n{"name": "kvassay", "version": "0.1", "dependencies": {}}\n```',
    '{"name": "f", "description": "does f", "parameters": {"type": "object"}}',
    "Headline\n{not json}",
    "<think>only thinking",
    'if x { return {"a": 1} }',
]


@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
@pytest.mark.parametrize(("dialect", "text", "calls", "content", "reasoning"), GOOD)
def test_well_formed_output_is_read_exactly(
    dialect: str, text: str, calls: list[tuple[str, JsonObject]], content: str, reasoning: str, *, named: bool
) -> None:
    """Calls in their order, content and reasoning apart, no fault; the same whether the dialect is named or found."""
    parsed = parse(text, dialect if named else "auto", TOOLS)
    assert [(call["name"], call["arguments"]) for call in parsed["calls"]] == calls
    assert parsed["faults"] == []
    assert parsed["content"] == content
    assert parsed["reasoning"] == reasoning
    assert parsed["dialect"] == dialect or not calls


@pytest.mark.parametrize(("dialect", "text", "calls", "kinds"), BAD)
def test_broken_output_is_a_fault_beside_the_calls_that_are_not(
    dialect: str, text: str, calls: list[tuple[str, JsonObject]], kinds: list[str]
) -> None:
    """What is not well-formed is a fault with a kind and its verbatim text; nothing is repaired."""
    parsed = parse(text, dialect, TOOLS)
    assert [(call["name"], call["arguments"]) for call in parsed["calls"]] == calls
    assert [fault["kind"] for fault in parsed["faults"]] == kinds
    assert all(fault["text"] in text for fault in parsed["faults"])
    assert all(fault["class"] == ("M2" if fault["kind"].startswith("leaked") else "M1") for fault in parsed["faults"])


@pytest.mark.parametrize("text", NOTHING)
def test_text_without_a_call_is_nothing_but_content(text: str) -> None:
    """Prose, JSON that is no call, and tool definitions are neither calls nor faults."""
    parsed = parse(text, tools=TOOLS)
    assert parsed["dialect"] == ""
    assert parsed["calls"] == []
    assert parsed["faults"] == []


def test_markup_without_a_schema_is_typed_as_its_vendor_types_it() -> None:
    """Without tools, GLM's values are JSON where they can be, Qwen's and MiniMax's are text, but for null."""
    glm = "<tool_call>f<arg_key>x</arg_key><arg_value>[1]</arg_value></tool_call>"
    qwen = "<function=f><parameter=x>[1]</parameter><parameter=y>null</parameter></function>"
    assert parse(glm)["calls"] == [{"name": "f", "arguments": {"x": [1]}}]
    assert parse(qwen)["calls"] == [{"name": "f", "arguments": {"x": "[1]", "y": None}}]


def test_an_undeclared_name_in_a_calls_shape_is_a_call() -> None:
    """Hallucinated tools must be seen: the shape tells, not the name; a declared name allows further keys."""
    assert parse('{"name": "nope", "arguments": {}}', tools=TOOLS)["calls"] == [{"name": "nope", "arguments": {}}]
    assert parse('{"name": "nope", "arguments": {}, "why": "x"}', tools=TOOLS)["calls"] == []
    assert parse('{"name": "g", "arguments": {}, "why": "x"}', tools=TOOLS)["calls"] == [{"name": "g", "arguments": {}}]


@pytest.mark.parametrize(
    "text",
    [
        "The format is [TOOL_CALLS] then",
        "<tool_calls>\n{",
        "done</function>",
        "<|tool_call>call:f{}<tool_call|>",
        "<｜tool_calls_begin｜>f",
        '<|START_ACTION|>[{"tool_name": "f", "parameters": {}}]',
        '<|open|>tools<|sep|><|open|>call tool="f"',
    ],
)
def test_a_marker_that_no_dialect_can_use_is_a_leak(text: str) -> None:
    """Half markers and those of formats not read here are M2, unless a dialect of ours has its own fault for them."""
    assert parse(text)["calls"] == []
    assert [fault["kind"] for fault in parse(text, "json")["faults"]] == ["leaked"]

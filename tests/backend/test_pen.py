"""Template and tokenizer from the model's files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvassay.backend.pen import open_pen
from kvassay.backend.pen_hf import HubPen
from kvassay.errors import BackendError, ConfigError
from kvassay.types import Message, Tool, ToolCall

TEMPLATE = """{%- for t in tools or [] %}{{ t | tojson }}
{% endfor %}{%- for m in messages %}{{ bos_token }}<{{ m.role }}>{{ m.content }}
{%- for c in m.tool_calls or [] %}{{ c.function.arguments.path }}{% endfor %}
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""
CALL = ToolCall("c1", "read", {"path": "a<b.py"})


@dataclass(frozen=True)
class Encoded:
    """What the library calls an encoding."""

    ids: list[int]


class Letters:
    """A tokenizer of letters that has special tokens to add, and must not be asked to."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Encoded:
        return Encoded(([1] if add_special_tokens else []) + [*map(ord, sequence)])

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return "" if skip_special_tokens else "".join(map(chr, ids))


def test_a_conversation_is_rendered_as_transformers_does() -> None:
    """Arguments of calls are objects, JSON is not escaped for HTML, line ends of blocks are cut, the turn is opened."""
    pen = HubPen(Letters(), TEMPLATE, {"bos_token": "^"})
    text = pen.render([Message("user", "Hi"), Message("assistant", "", (CALL,))], [Tool("read", "a<b", {})])
    head = '{"type": "function", "function": {"name": "read", "description": "a<b", "parameters": {}}}\n'
    assert text == f"{head}^<user>Hi^<assistant>a<b.py<assistant>"
    assert pen.detokenize(pen.tokenize(text)) == text


def test_the_opening_token_is_the_tokenizers_own() -> None:
    """What the tokenizer puts in front of any prompt is told, so that a server that does so too adds no second one; a
    token that ends every text opens none.
    """
    assert HubPen(Letters(), "", {"bos_token": "\x01"}).opening == "\x01"
    assert HubPen(Letters(), "", {"eos_token": "\x01"}).opening == ""


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ tools[0].function.parameters | tojson(ensure_ascii=False) }}", '{"é": 1, "a": 2}'),  # GLM-4.5, MiniMax-M2
        ("{{ tools[0].function.parameters | tojson(separators=(',', ':')) }}", '{"é":1,"a":2}'),
        ("{{ tools[0].function.parameters | tojson(sort_keys=true, indent=1) }}", '{\n "a": 2,\n "é": 1\n}'),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}.", "Hi."),  # SmolLM3
        ("{{ '\n' + messages[1].tool_calls[0].function.arguments }}", '\n{"path": "a<b.py"}'),  # DeepSeek-V3
    ],
)
def test_what_templates_of_real_models_use_is_there(template: str, text: str) -> None:
    """The options of tojson, trainers' marks, and arguments as strings where a template joins them to its text."""
    pen = HubPen(Letters(), template, {})
    conversation = [Message("user", "Hi"), Message("assistant", "", (CALL,))]
    assert pen.render(conversation, [Tool("read", "", {"é": 1, "a": 2})]) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content.index('<think>') }}", "substring not found"),
    ],
)
def test_a_template_that_refuses_is_told(template: str, said: str) -> None:
    """raise_exception in a template, or a fault of its own, is a message, not a traceback."""
    pen = HubPen(Letters(), template, {})
    with pytest.raises(BackendError, match=said):
        pen.render([Message("user", "Hi")], [])


def test_a_template_can_not_reach_the_machine() -> None:
    """Templates come from downloads: they run in a sandbox."""
    pen = HubPen(Letters(), "{{ messages.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(BackendError, match="unsafe"):
        pen.render([Message("user", "Hi")], [])


def directory(path: Path, config: dict[str, object]) -> Path:
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


@pytest.fixture
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package tokenizers, as far as it is used: reading a file gives a tokenizer."""

    class Library:
        class Tokenizer:
            from_file = staticmethod(lambda _: Letters())

    monkeypatch.setitem(sys.modules, "tokenizers", Library)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_library")
def test_the_directorys_files_are_read(tmp_path: Path) -> None:
    """Template and special tokens come from the configuration; of several templates it is the one for tools; a file of
    its own goes before.
    """
    several = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    path = directory(tmp_path, {"chat_template": several, "bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    assert HubPen.read(path).template == "t"
    assert HubPen.read(path).special == {"bos_token": "<s>", "eos_token": "</s>"}
    (tmp_path / "chat_template.jinja").write_text("j")
    pen = open_pen(tmp_path / "tokenizer.json")
    assert pen.template == "j"


@pytest.mark.usefixtures("_library")
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No tokenizer, no template, or a file that is neither: each says what to give."""
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        open_pen(tmp_path)
    with pytest.raises(ConfigError, match="no chat template"):
        open_pen(directory(tmp_path, {}))
    (tmp_path / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is not JSON"):
        open_pen(tmp_path)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"chat_template\.jinja' can't be read"):
        open_pen(directory(tmp_path, {}))
    (tmp_path / "x.bin").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="neither a GGUF"):
        open_pen(tmp_path / "x.bin")


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the message says how to install it, and the way without."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not installed") as caught:
        open_pen(directory(tmp_path, {}))
    assert "GGUF" in caught.value.hint

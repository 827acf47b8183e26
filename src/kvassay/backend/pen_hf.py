"""A Hugging Face directory as a pen: ``tokenizer.json``, and the chat template as transformers renders it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NoReturn, Protocol, cast

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Scope
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kvassay.backend.template import rendered
from kvassay.errors import ConfigError
from kvassay.extras import install_line
from kvassay.types import JsonObject, JsonValue, Message, Tool


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...


class Tokenizer(Protocol):
    """What is used of ``tokenizers.Tokenizer``."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> _Encoding: ...

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str: ...


@dataclass(frozen=True, slots=True)
class HubPen:
    """``special`` are the names that a template may use for special tokens, ``bos_token`` above all."""

    tokenizer: Tokenizer
    template: str
    special: dict[str, str]

    @classmethod
    def read(cls, directory: Path) -> HubPen:
        """Raises ConfigError where a file is missing or unreadable, or the extra is not installed."""
        tokenizer = _tokenizer(directory / "tokenizer.json")
        config = _config(directory / "tokenizer_config.json")
        return cls(tokenizer, _template(directory, config), _special(config))

    @property
    def opening(self) -> str:
        """What the tokenizer's own post-processor puts in front; one that only ends the text (EOS) opens nothing."""
        first = self.tokenizer.encode("", add_special_tokens=True).ids[:1]
        text = self.detokenize(first)
        return text if text != self.special.get("eos_token") else ""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The prompt as ``apply_chat_template`` makes it (transformers 5.23.0 utils/chat_template_utils.py). The
        template adds the special tokens itself, so none are added later. Raises BackendError with its complaint.
        """
        return rendered(self._template, messages, tools)

    def _template(self, messages: list[JsonObject], tools: list[JsonObject] | None) -> str:
        compiled = _compiled(self.template)
        return compiled.render(messages=messages, tools=tools, add_generation_prompt=True, **self.special)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)

    def close(self) -> None:
        pass


class _Generation(Extension):
    """``{% generation %} … {% endgeneration %}``, by which trainers mark an answer, marks nothing here."""

    tags = {"generation"}  # noqa: RUF012  jinja2's own form

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        return Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


@lru_cache(maxsize=4)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(template)


def _to_json(
    value: JsonValue,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  transformers' signature
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Without jinja2's own escaping of HTML, as transformers has it."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _tokenizer(path: Path) -> Tokenizer:
    try:
        library = importlib.import_module("tokenizers")
    except ImportError:
        raise ConfigError(
            "reading a tokenizer.json needs the package 'tokenizers', which is not installed",
            hint=f"{install_line('tokenizers')}, or give the model's GGUF file instead.",
        ) from None
    if not path.is_file():
        raise ConfigError(f"there is no {str(path)!r}", hint="Give the directory that holds tokenizer.json.")
    try:
        return cast("Tokenizer", library.Tokenizer.from_file(str(path)))
    except Exception as error:  # noqa: BLE001  the library raises plain Exception for a broken file
        raise ConfigError(f"{str(path)!r} is no tokenizer: {error}") from None


def _config(path: Path) -> JsonObject:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{str(path)!r} is not JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _template(directory: Path, config: JsonObject) -> str:
    """The template of the directory: its own file before the one in the configuration; of several the tools' one."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{str(file)!r} can't be read: {error}") from None
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {str(one.get("name")): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("tool_use") or named.get("default")
    if not isinstance(found, str):
        raise ConfigError(
            f"{str(directory)!r} has no chat template",
            hint="It stands in chat_template.jinja, or in tokenizer_config.json under chat_template.",
        )
    return found


def _special(config: JsonObject) -> dict[str, str]:
    tokens = {name: config.get(name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    plain = {name: value.get("content") if isinstance(value, dict) else value for name, value in tokens.items()}
    return {name: value for name, value in plain.items() if isinstance(value, str)}

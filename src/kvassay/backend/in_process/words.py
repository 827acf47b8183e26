"""Text and token ids: the tokenizer's chat template, and a model's answer as llama.cpp would show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kvassay import dialect
from kvassay.backend.template import rendered
from kvassay.types import JsonObject, Message, Tool

_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<end_of_turn>", "<|return|>", "<|call|>")
"""Special tokens that end a turn wherever they exist; a model's own configuration adds its own."""

_HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Words:
    """A tokenizer as a boot needs it. ``hidden`` are the ids of special tokens that no tool-call format is made of:
    they stay out of the text, as they do in llama.cpp's answers.
    """

    tokenizer: PreTrainedTokenizerBase
    hidden: frozenset[int]

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The prompt's text. Raises BackendError with the template's own complaint."""
        return rendered(self._template, messages, tools)

    def _template(self, messages: list[JsonObject], tools: list[JsonObject] | None) -> str:
        text = self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
        return str(text)

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids, special tokens recognised; the tokenizer's own first token is added unless the text has it."""
        begins = bool(self.tokenizer.bos_token) and text.startswith(self.tokenizer.bos_token)
        return tuple(self.tokenizer(text, add_special_tokens=not begins)["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens; an unfinished character at the end is held back."""
        shown = [token for token in tokens if token not in self.hidden]
        text = self.tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text).rstrip(_HALF_A_CHARACTER)


def words_of(tokenizer: PreTrainedTokenizerBase, ends: frozenset[int]) -> Words:
    """The words of a tokenizer, with the tokens that end a turn hidden too."""
    marks = frozenset(dialect.markers())
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special and token.content not in marks}
    return Words(tokenizer, ends | special)


def ends_of(own: Iterable[int | None], tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids that end a turn: the model's ``own``, its tokenizer's, and those known by name."""
    vocabulary = tokenizer.get_vocab()
    known = (vocabulary.get(text) for text in _ENDS)
    return frozenset(token for token in (*own, tokenizer.eos_token_id, *known) if token is not None)

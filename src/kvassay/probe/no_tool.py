"""No tool: a question that needs none. The right answer is no call, and text that holds the answer."""

from __future__ import annotations

import re

from kvassay.grade.context import Context
from kvassay.probe.base import LEVELS, Family
from kvassay.session.scene import Scene
from kvassay.types import Message, Outcome, OutcomeClass, Probe, Turn

_NAME = "no_tool"

# Question, and the words of which one must stand in a right answer. Common knowledge, so that an answer without them
# says that the model, not the question, failed.
_QUESTIONS = (
    ("What does the acronym JSON stand for?", ("object notation",)),
    ("What does the acronym HTTP stand for?", ("hypertext", "hyper text")),
    ("What does the acronym URL stand for?", ("uniform resource",)),
    ("What does the acronym SQL stand for?", ("query language",)),
    ("What does the acronym HTML stand for?", ("markup language",)),
    ("What does the acronym CPU stand for?", ("central processing",)),
    ("What does the acronym RAM stand for?", ("random access", "random-access")),
    ("What does the acronym API stand for?", ("application programming", "application program")),
    ("What does the acronym CSS stand for?", ("cascading", "style sheet")),
    ("What does the acronym CSV stand for?", ("comma",)),
    ("How many bits does a byte have?", ("8", "eight")),
    ("Which HTTP status code means that a page was not found?", ("404",)),
    ("Which keyword starts a function definition in Python?", ("def",)),
    ("Which keyword starts a class definition in Python?", ("class",)),
    ("What is 2 to the power of 10?", ("1024", "1,024")),
    ("Which git command shows the history of commits?", ("log",)),
    ("Which exception does Python raise when a dictionary has no such key?", ("keyerror",)),
    ("Which built-in function gives the length of a list in Python?", ("len",)),
    ("What is 17 plus 25?", ("42",)),
    ("Which value does a Python function return when it has no return statement?", ("none",)),
    ("What is the file extension of Python source files?", ("py",)),
    ("Which port does HTTPS use by default?", ("443",)),
    ("What is the decimal value of the hexadecimal number 0xFF?", ("255",)),
    ("Which character ends most statements in C?", ("semicolon", ";")),
)  # fmt: skip


_LEADS = {1: "A general question, no tool needed: ", 2: "A question by the way: ", 3: ""}


def _make(_scene: Scene, seed: int, level: int) -> Probe | None:
    """Level 1 says that no tool is needed, level 2 that the question is beside the work, level 3 neither."""
    # Each question in turn, so that few probes repeat none; the levels begin at different ones.
    turn = seed // len(LEVELS) + level * len(_QUESTIONS) // len(LEVELS)
    question, answers = _QUESTIONS[turn % len(_QUESTIONS)]
    request = f"{_LEADS[level]}{question} Answer in one short sentence."
    return Probe(
        id=f"{_NAME}/{seed}",
        family=_NAME,
        seed=seed,
        messages=(Message("user", request),),
        expected=((),),
        level=level,
        key={"answers": list(answers)},
    )


def _check(probe: Probe, turn: Turn, _context: Context) -> Outcome | None:
    """Text without a call is right only if it answers: noise is not restraint."""
    answers, question = probe.key["answers"], probe.messages[-1].content
    if turn.calls or not isinstance(answers, list) or any(_says(turn.content, str(a), question) for a in answers):
        return None
    return Outcome(OutcomeClass.WRONG_VALUE, f"no call, but the answer does not hold {' or '.join(map(repr, answers))}")


def _says(text: str, answer: str, question: str) -> bool:
    """Whether the answer stands in the text as a word or number of its own (``def`` is not in "definition", 8 not in
    128), and not only in the question's words said over ("a class definition").
    """
    border = r"\d" if answer.isdigit() else r"[^\W\d_]" if answer[0].isalpha() else r"(?!)"
    word = rf"(?<!{border}){re.escape(answer)}s?(?!{border})"
    echoed = re.search(rf"{word}\W+(\w+)", question, re.IGNORECASE)
    behind = rf"(?!\W+{echoed[1]}\b)" if echoed else ""
    return re.search(word + behind, text, re.IGNORECASE) is not None


FAMILY = Family(_NAME, _make, _check)

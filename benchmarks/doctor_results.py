"""Write docs/results/doctor/README.md and the list of rules in docs/doctor.md from the program itself.

python benchmarks/doctor_results.py
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from rich.console import Console

from kvassay.cli.doctor import EXIT_CODES
from kvassay.doctor.gather import diagnose, gather
from kvassay.doctor.rules import RULES
from kvassay.doctor.show import print_diagnoses

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results" / "doctor"
DOCS = ROOT / "docs" / "doctor.md"
STORIES = {
    "compose.yaml": (
        "Half the memory, and attention on the CPU",
        """A compose file that asks for q8_0/q4_0 on a CUDA build from before September 2026. The image's name tells
build and device, and so it can be said that attention runs on the CPU. A variable that somebody left behind
says something else than the command does.""",
    ),
    "ollama-override.conf": (
        "An Ollama service whose models do not load",
        """A drop-in of systemd with a cache type that Ollama passes on without looking, and a variable of llama.cpp's
that was meant to set K apart.""",
    ),
    "config.yml": (
        "TabbyAPI with llama.cpp's names",
        """A pair written in another program's types, a draft mode that its description promises and its validation
refuses, and a cache that is smaller than the longest sequence.""",
    ),
    "llama-swap.yaml": (
        "A coder that forgets how to call tools",
        """Two models behind llama-swap: one with K at 4 bits, rotation off and the whole context asked for; the other
does not start, because llama-server does not read `--flag=value`.""",
    ),
    "server.log": (
        "A log of verbosity 4",
        """No command, only what the server wrote: the pair as allocated, a missing vector kernel and how to build it,
and what sliding-window layers leave of the saving.""",
    ),
}
HEAD = """# Five broken set-ups

What `kvassay doctor` says about five realistic files, all in [inputs/](inputs). They were written for this page and
are no user's; the output is the program's own, 80 columns wide, written by `python benchmarks/doctor_results.py`, and
a test compares it with what the program says today. Nothing was run or timed here: the speeds it cites are those of
the reports it names.
"""


def results() -> str:
    """The page of results."""
    parts = [HEAD]
    for name, (title, story) in STORIES.items():
        text, code = output(RESULTS / "inputs" / name)
        shown = f"$ kvassay doctor {name}; echo $?\n{text}{code}"
        parts.append(f"## {title}\n\n{story}\n\n```text\n{shown}\n```\n")
    return "\n".join(parts)


def output(path: Path) -> tuple[str, int]:
    """What the program prints for a file, and its exit code."""
    diagnoses = diagnose(gather([str(path)]))
    with contextlib.redirect_stdout(io.StringIO()) as written:
        print_diagnoses(diagnoses, Console(width=80, color_system=None, file=written))
    return written.getvalue(), max(EXIT_CODES[one.worst] for one in diagnoses)


def rules() -> str:
    """The list of rules, as in the documentation."""
    lines = []
    room = ""
    for rule in RULES:
        module = rule.__module__.rpartition(".")[2]
        if module != room:
            room = module
            lines.append(f"\n**{module}**")
        sentence = " ".join((rule.__doc__ or "").split())
        lines.append(f"- `{rule.__name__.replace('_', '-')}`: {sentence}")
    return "\n".join(lines).strip()


def documented(text: str) -> str:
    """The documentation with the list of rules in its place."""
    marks = re.compile(r"(<!-- rules -->\n).*?(\n<!-- end -->)", re.DOTALL)
    return marks.sub(lambda m: f"{m[1]}{rules()}{m[2]}", text)


if __name__ == "__main__":
    (RESULTS / "README.md").write_text(results(), encoding="utf-8")
    DOCS.write_text(documented(DOCS.read_text(encoding="utf-8")), encoding="utf-8")

"""The real command line over the scripted back end: ``python scripted_cli.py SUITE SECONDS_PER_ANSWER run …``.

Its servers are "attached", so that no model is needed; K other than f16 is always wrong. `demo` runs over SUITE.
"""

from __future__ import annotations

import sys

from kvassay import backend
from kvassay.backend.scripted import Scripted
from kvassay.cli import demo, main
from kvassay.types import Arm

ATTACH = ["f16/f16=http://a", "q8_0/q8_0=http://b", "f16/f16=http://c"]


def answer(prompt: str, arm: Arm) -> str:
    """The call that test_resume.py's suite asks for."""
    number = prompt.rpartition("Get number ")[2].partition(".")[0]
    call = f'{{"name": "get", "arguments": {{"id": {number if arm.kv.k == "f16" else 99}}}}}'
    return f"<tool_call>\n{call}\n</tool_call>"


if __name__ == "__main__":
    suite, delay_s = sys.argv.pop(1), float(sys.argv.pop(1))
    backend.make = lambda *_args, **_options: Scripted(answer, delay_s=delay_s)
    demo.DEMO = {"attach": ATTACH, "suite": suite, "channels": "raw", "evidence_probes": 0}
    main()

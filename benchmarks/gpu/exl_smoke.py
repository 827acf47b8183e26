"""Tries the back end exllamav3 on a real card: one JSON line a check, a full traceback for each that fails.

    python3 benchmarks/gpu/exl_smoke.py MODEL_FOLDER [PAIRS]     PAIRS: f16/f16,8/8,8/4,4/8,4/4,2/2

Exit code 1 when a check failed; the others run all the same.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from itertools import pairwise
from math import exp, fsum
from pathlib import Path

from kvassay.backend import make
from kvassay.backend.base import Backend, Progress, Sampling
from kvassay.backend.exllamav3 import import_engine
from kvassay.backend.in_process.boot import InProcessBoot
from kvassay.errors import PairRefused
from kvassay.kv_cache import pad
from kvassay.plan.exllama import side_bytes
from kvassay.types import Arm, Completion, KVConfig, Message, Tool

PAIRS = "f16/f16,8/8,8/4,4/8,4/4,2/2"
CONTEXT_TOKENS = 6000
TOP_N = 20
TOOLS = [
    Tool(
        "read_file",
        "Read a file of the project.",
        {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    )
]
FILLER = "".join(f"Line {n}: the value of item {n * 7919 % 1000} is {n * 104729 % 997}.\n" for n in range(150))
SYSTEM = Message("system", "You are a coding agent. Use the tools.\n" + FILLER)
QUESTIONS = ("Read the file src/main.py.", "Read the file docs/notes/2026-11-25.md.")


def say(check: str, **found: object) -> None:
    """One JSON line."""
    print(json.dumps({"check": check, **found}), flush=True)


def prompt(boot: InProcessBoot, question: str) -> tuple[int, ...]:
    """A long system message with a tool, and the question."""
    return boot.tokenize(boot.render([SYSTEM, Message("user", question)], TOOLS))


def ask(boot: InProcessBoot, tokens: tuple[int, ...], *, anew: bool = False, max_tokens: int = 64) -> Completion:
    """A greedy answer; ``anew`` forgets what the cache holds first."""
    if anew:
        boot.mind.back_to(())
    return boot.complete(tokens, Sampling(max_tokens=max_tokens, top_n=TOP_N))


def open_boot(engine: Backend, pair: str) -> InProcessBoot:
    """A boot of one pair."""
    k, _, v = pair.partition("/")
    boot = engine.open(Arm(KVConfig(k, v)), context_tokens=CONTEXT_TOKENS)
    assert isinstance(boot, InProcessBoot)
    return boot


def expected_bytes(config: dict[str, int], cache_type: str) -> int:
    """One half's bytes by the planner's formula."""
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    elements = config["num_key_value_heads"] * head_dim
    layers = config["num_hidden_layers"]
    if cache_type == "f16":
        return layers * pad(CONTEXT_TOKENS) * elements * 2
    return layers * side_bytes(CONTEXT_TOKENS, elements, int(cache_type))


def check_pair(engine: Backend, config: dict[str, int], pair: str) -> Completion:
    """Types and bytes read back, an answer, its log-probabilities, and the same answer without reuse."""
    started = time.perf_counter()
    with open_boot(engine, pair) as boot:
        opened_s, facts = time.perf_counter() - started, boot.facts
        assert f"{facts.k_type}/{facts.v_type}" == pair, facts
        wanted = tuple(expected_bytes(config, side) for side in pair.split("/"))
        one, other = (prompt(boot, question) for question in QUESTIONS)
        seen: list[Progress] = []
        prefilled = boot.prefill(one[: len(one) - 40], seen.append)
        answer = ask(boot, one)
        reused, anew = ask(boot, other), ask(boot, other, anew=True)
        again = ask(boot, other, anew=True)
        say(
            pair,
            opened_s=round(opened_s, 2),
            build=facts.build,
            devices=facts.devices,
            k_bytes=facts.k_bytes,
            v_bytes=facts.v_bytes,
            planned_bytes=wanted,
            kv_layers=facts.kv_layers,
            kv_cells=facts.kv_cells,
            model_bytes=facts.model_bytes,
            prompt_tokens=len(one),
            prefill_ms=round(prefilled.timings.prompt_ms, 1),
            progress=len(seen),
            ms_per_token=round(anew.timings.predicted_ms / max(1, anew.timings.predicted_tokens), 2),
            text=answer.text,
            other=anew.text,
            cached=(answer.timings.cached_tokens, reused.timings.cached_tokens, anew.timings.cached_tokens),
            same_with_reuse=reused.tokens == anew.tokens,
            same_twice=again.positions == anew.positions,
            reuse_moves_logprob=moved(reused, anew),
            top_mass=[round(fsum(exp(value) for _, value in place.top), 6) for place in answer.positions[:3]],
        )
        check_answer(answer)
        assert (facts.k_bytes, facts.v_bytes) == wanted, "bytes differ from the planner's formula"
        assert answer.timings.cached_tokens == len(one) - 40
        assert reused.timings.cached_tokens > len(one) - 100
        assert anew.timings.cached_tokens == 0
    return answer


def check_answer(answer: Completion) -> None:
    """Greedy means the most probable; log-probabilities are ordered and sum to no more than one."""
    for place in answer.positions:
        values = [value for _, value in place.top]
        assert len(values) == TOP_N
        assert all(a >= b for a, b in pairwise(values))
        assert place.logprob == values[0], place
        assert fsum(map(exp, values)) <= 1 + 1e-6


def moved(one: Completion, other: Completion) -> float:
    """The largest change of a chosen token's log-probability, as long as both chose the same."""
    same = zip(one.positions, other.positions, strict=False)
    return max((abs(a.logprob - b.logprob) for a, b in same if a.token_id == b.token_id), default=0.0)


def check_transformers(engine: Backend, folder: Path) -> None:
    """The first token's distribution against transformers' own computation in float16."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    with open_boot(engine, "f16/f16") as boot:
        tokens = prompt(boot, QUESTIONS[0])
        boot.mind.back_to(())
        for at in range(0, len(tokens), boot.mind.chunk):
            mine = boot.mind.forward(tokens[at : at + boot.mind.chunk])
        mine = torch.log_softmax(mine.double().cpu(), -1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).cuda().eval()
    with torch.inference_mode():
        its = torch.log_softmax(model(torch.tensor([tokens]).cuda()).logits[0, -1].double().cpu(), -1)
    divergence = float((its.exp() * (its - mine)).sum())
    say("transformers", kl=divergence, same_first=int(mine.argmax()) == int(its.argmax()), vocabulary=len(mine))
    assert divergence < 0.05  # noqa: PLR2004  two engines in float16 on one model


def check_boots(engine: Backend, first: Completion) -> None:
    """A second boot answers as the first; closed boots hold nothing."""
    import torch  # noqa: PLC0415

    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    with open_boot(engine, "f16/f16") as boot:
        tokens = prompt(boot, QUESTIONS[0])
        boot.prefill(tokens[: len(tokens) - 40])
        second = ask(boot, tokens)
        during = torch.cuda.memory_allocated()
    after = torch.cuda.memory_allocated()
    same = second.positions == first.positions
    say(
        "boots",
        same_positions=same,
        before=before,
        during=during,
        after=after,
        tokens_same=second.tokens == first.tokens,
    )
    assert second.tokens == first.tokens
    assert after - before < 64 << 20, "a closed boot keeps memory"


def check_refusal(engine: Backend) -> None:
    """A half in f16 beside a quantised one is refused, and so it is by the engine itself."""
    for pair in ("f16/4", "8/f16"):
        try:
            open_boot(engine, pair).close()
        except PairRefused as error:
            say(f"refused {pair}", message=str(error))
        else:
            raise AssertionError(pair)


def check_sampling(engine: Backend) -> None:
    """A seed fixes an answer; another seed may give another one."""
    with open_boot(engine, "8/4") as boot:
        tokens = prompt(boot, QUESTIONS[0])
        answers = [boot.complete(tokens, Sampling(24, 1.5, seed)) for seed in (1, 1, 2)]
        say("sampling", same_seed=answers[0].tokens == answers[1].tokens, other_seed=answers[2].text)
        assert len(answers[0].tokens) > 1


def attempt(name: str, check: Callable[[], object]) -> object | None:
    """What a check gives (True for nothing), None where it failed."""
    try:
        return check() or True
    except BaseException:  # noqa: BLE001  the other checks are still wanted
        traceback.print_exc()
        say("FAILED", name=name)
        return None


def main(folder: Path, pairs: Iterable[str]) -> int:
    """Every check; the exit code."""
    started = time.perf_counter()
    import_engine(lambda progress: say("import", note=progress.note))
    say("import", seconds=round(time.perf_counter() - started, 1))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    engine = make("exllamav3", model_path=folder)
    done = {pair: attempt(pair, lambda pair=pair: check_pair(engine, config, pair)) for pair in pairs}  # type: ignore[misc]
    first = done.get("f16/f16")
    if isinstance(first, Completion):
        done["boots"] = attempt("boots", lambda: check_boots(engine, first))
    if "quantization_config" in config:
        say("transformers", skipped="it can't read EXL3's weights")
    else:
        done["transformers"] = attempt("transformers", lambda: check_transformers(engine, folder))
    done["refusal"] = attempt("refusal", lambda: check_refusal(engine))
    done["sampling"] = attempt("sampling", lambda: check_sampling(engine))
    failed = [name for name, result in done.items() if result is None]
    say("done", failed=failed)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), (sys.argv[2] if len(sys.argv) > 2 else PAIRS).split(",")))  # noqa: PLR2004

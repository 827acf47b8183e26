"""What a run costs: one real run on the small model, and our own process over 20,000 scripted trials.

    python benchmarks/assay.py [--model NAME] [--depths 1k,2k] [--probes 2] [--trials 20000]

Prints wall time, prompt tokens processed over the ladder's lower bound (as the server counts them), the share of
wall time spent outside the server, seconds per scored call, and the peak memory of our own process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun

SCRIPTED = """
import resource, sys, time
from pathlib import Path
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.backend.scripted import Scripted
from kvassay.report import write_reports
from kvassay.settings import check
out, trials = Path(sys.argv[1]), int(sys.argv[2])
cases = out / "cases.jsonl"
backend = Scripted(lambda prompt, arm: '{"name": "get", "arguments": {"id": 1}}')
settings = check({"model": "scripted", "pairs": ("q8_0/q8_0", "q4_0/f16"), "depths": "512", "suite": str(cases),
                  "channels": "raw", "top_n": 0, "stopping": "fixed"})
arms = arms_of(settings, backend.cache_types)
with Store(out / "scripted.sqlite", write=True) as store:
    started = time.perf_counter()
    done = run(Job(settings, backend, Sample("scripted"), arms, questions_of(settings), store))
    ran_s = time.perf_counter() - started
    write_reports(done, verdict_of(done), out)
    print(f"{len(done.done())} {ran_s} {time.perf_counter() - started - ran_s} "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}")
"""
CASE = (
    '{{"id": "case-{n}", "messages": [{{"role": "user", "content": "Get number {n}, please."}}], "tools": '
    '[{{"type": "function", "function": {{"name": "get", "description": "Get one", "parameters": {{"type": "object", '
    '"properties": {{"id": {{"type": "integer"}}}}, "required": ["id"]}}}}}}], '
    '"expected": [[{{"name": "get", "arguments": {{"id": [{n}]}}}}]]}}\n'
)
SCRIPTED_ARMS = 4


def main() -> None:
    """Run both parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--depths", default="1800,2k")
    parser.add_argument("--probes", default="2")
    parser.add_argument("--trials", type=int, default=20000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _real(Path(folder), args)
        _scripted(Path(folder), args.trials)


def _real(out: Path, args: argparse.Namespace) -> None:
    command = ["run", args.model, "--kv", "q8_0/q8_0", "--no-isolate", "--no-repeat", "--depths", args.depths,
               "--probes", args.probes, "--out", str(out)]  # fmt: skip
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "kvassay", *command], check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - started
    with Store(out / "kvassay.sqlite") as store:
        _print_real(store.run(), wall_s)


def _print_real(run: StoredRun, wall_s: float) -> None:
    boots, trials = run.boots(), len(run.done())
    processed = sum(boot.processed_tokens for boot in boots)
    bound = sum(boot.bound_tokens for boot in boots)
    in_boots_s = sum((boot.ended_at or boot.started_at) - boot.started_at for boot in boots)
    server_s = sum(boot.server_s for boot in boots)
    children_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"real run, {run.record.manifest.design.model_name}, {len(boots)} boots, {trials} trials")
    print(f"  wall time                     {wall_s:9.1f} s")
    print(f"  prompt tokens / lower bound   {processed / bound:9.3f}   ({processed} / {bound})")
    print(f"  outside the server, climbing  {100 * (1 - server_s / in_boots_s):9.2f} %")
    print(f"  seconds per scored call       {wall_s / trials:9.2f}")
    print(f"  largest process, server too   {children_mib:9.0f} MiB")


def _scripted(out: Path, trials: int) -> None:
    (out / "cases.jsonl").write_text("".join(CASE.format(n=n) for n in range(trials // SCRIPTED_ARMS)))
    command = [sys.executable, "-c", SCRIPTED, str(out), str(trials)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, ran_s, report_s, peak_mib = done.stdout.split()
    print(f"our own process, scripted back end, {count} trials")
    print(f"  time per trial                {1000 * float(ran_s) / int(count):9.2f} ms")
    print(f"  reports                       {float(report_s):9.1f} s")
    print(f"  peak memory                   {float(peak_mib):9.0f} MiB")


if __name__ == "__main__":
    main()

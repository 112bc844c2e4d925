# SPDX-License-Identifier: Apache-2.0
"""What mistakes in rtl/ the RTL tests see: `make mutate SEED=n N=40` (coverage.mk) runs this.

Draws N mistakes (mistakes.py) by SEED, of each kind as many, builds the tests of TESTS once over a copy of the RTL that has them all,
and runs them for each mistake, those that find mistakes soonest first, until one fails. What none of them finds is run against those
of LATE, and then given to Yosys, which proves the module equal to the original or does not. Such a mistake is "equivalent", as is one
that tests/coverage/equivalent names with the reason; any other survived, and fails the run. The table goes to
build/report/mutate.{txt,json}."""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import shlex
import subprocess
import sys
import time

import mistakes
from verilog import ROOT

CARD = ["test_top", "test_top_queues", "test_top_sas", "test_top_reset", "test_top_errors"]
PIPES = ["test_reasons", "test_wide", "test_pipe", "test_perf"]
# by the first pattern that the file's name matches: tests, and those that only what these have not found is shown to
TESTS = [
    (r"rtl/(aes|ghash|gcm)/", ["test_gcm_core"], ["test_gcm_cavp", "test_esp_rx_slots", "test_sa", "test_perf"]),
    (r"rtl/esp/esp_rx", ["test_esp_rx_epochs", "test_esp_rx", "test_esp_rx_slots"], PIPES + ["test_spi_table"]),
    (r"rtl/esp/", ["test_tx", "test_sa"], PIPES),
    (r"rtl/lib/(key_ram|delay_ram)", ["test_gcm_core", "test_esp_rx_slots", "test_sa"], PIPES),
    (r"rtl/lib/", ["test_esp_rx", "test_tx"] + CARD, PIPES + ["test_esp_rx_slots", "test_sa", "test_top_load"]),
    (r"rtl/", CARD, ["test_top_load"]),
]
EQUIVALENT = ROOT / "tests/coverage/equivalent"


def tests_of(mistake):
    return next(both for pattern, *both in TESTS if re.match(pattern, mistake.file))


def drawn(args):
    """The mistakes by SEED: of each kind in turn, and in it each place as likely as any other."""
    by_kind = collections.defaultdict(list)
    for m in mistakes.every():
        if re.search(args.only, m.file):
            by_kind[m.kind].append(m)
    dice = random.Random(args.seed)
    for some in by_kind.values():
        dice.shuffle(some)
    order = [some[i] for i in range(max(map(len, by_kind.values()))) for some in by_kind.values() if i < len(some)]
    return order[:args.n], len(order)


def runs(args, test, number, seconds):
    """Whether a test passes with a mistake: None, or what it did instead. What hangs is ended."""
    env = dict(os.environ, ESPALIER_MUTANT=str(number), CMOCKA_TEST_ABORT="1")
    with open(args.build / f"{number}.{test}.log", "w", encoding="utf-8") as out:
        try:
            done = subprocess.run([f"build/tests/{test}", *(["rtl/perf.json", os.devnull] if test == "test_perf" else [])], cwd=args.tree, env=env,
                                  stdout=out, stderr=subprocess.STDOUT, timeout=seconds, check=False,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        except subprocess.TimeoutExpired:
            return "hangs"
    return None if done.returncode == 0 else "fails"


def build(args, tests):
    log = args.build / "build.log"
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run([*shlex.split(args.make), *(f"build/tests/{t}" for t in tests)], cwd=args.tree, stdout=out, stderr=subprocess.STDOUT,
                              check=False)
    if done.returncode:
        sys.exit(f"mutate: the tests cannot be built, see {log}:\n" + "".join(open(log, encoding="utf-8").readlines()[-5:]))


def baseline(args, tests):
    """Each test passes without a mistake: {test: seconds}. With one it may take five times as long."""
    seconds = {}
    for test in tests:
        begun = time.monotonic()
        if runs(args, test, 0, 3600):
            sys.exit(f"mutate: {test} fails without a mistake, see {args.build}/0.{test}.log")
        seconds[test] = max(6, time.monotonic() - begun)
    return seconds


def proved(args, number, mistake):
    """Whether Yosys proves the module, its memories as registers and what stands below it left out, to be the original."""
    if not mistake.file.endswith(".v"):
        return False
    file = args.build / f"{number}.v"
    file.write_text(mistake.text(), encoding="utf-8")
    module = pathlib.Path(mistake.file).stem
    read = "read_verilog -I. -Irtl/ghash -Irtl/aes {}; proc; opt_expr; opt_clean; memory_map; opt_clean; async2sync; rename {} {}; "
    script = (read.format(mistake.file, module, "gold") + "design -stash gold; " + read.format(file.resolve(), module, "gate") +
              "design -stash gate; design -copy-from gold -as gold gold; design -copy-from gate -as gate gate; equiv_make gold gate equiv; "
              "hierarchy -top equiv; opt_clean; equiv_simple -undef -seq 2; equiv_induct -undef -seq 4; equiv_status -assert")
    with open(args.build / f"{number}.yosys.log", "w", encoding="utf-8") as out:
        try:
            return subprocess.run([*args.yosys.split(), "-q", "-p", script], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=120,
                                  check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def named_equivalent():
    """tests/coverage/equivalent: {mistake: why it changes nothing}."""
    lines = [line for line in EQUIVALENT.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.rsplit(" // ", 1) for line in lines)


def judged(args, number, mistake, tests):
    """(verdict, by what) of one mistake and these tests; None where none of them finds it."""
    for test in tests:
        what = runs(args, test, number, args.seconds[test] * 5)
        if what:
            return "found", test + (" (hangs)" if what == "hangs" else "")
    return None


def round_of(args, left, which):
    """Runs the first or the late tests for the mistakes that are left, {number: (mistake, verdict)}."""
    tests = list(dict.fromkeys(t for m in left.values() for t in tests_of(m)[which]))
    build(args, tests)
    args.seconds = baseline(args, tests)
    print(f"mutate: {len(tests)} tests built and run without a mistake: " + ", ".join(f"{t} {s:.0f} s" for t, s in args.seconds.items()),
          flush=True)
    found = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(judged, args, n, m, tests_of(m)[which]): n for n, m in left.items()}
        for job in concurrent.futures.as_completed(jobs):
            number = jobs[job]
            if job.result():
                found[number] = job.result()
            print(f"  {number}: {left[number].file}:{left[number].line} {' by '.join(job.result()) if job.result() else 'not found'}", flush=True)
    return found


def verdicts(args, chosen):
    left = dict(enumerate(chosen, 1))
    known, out = named_equivalent(), {}
    for which in (0, 1):
        found = round_of(args, left, which) if left else {}
        out.update(found)
        left = {n: m for n, m in left.items() if n not in found}
    for number, m in left.items():
        if m.named() in known:
            out[number] = "equivalent", known[m.named()]
        else:
            out[number] = ("equivalent", "Yosys") if proved(args, number, m) else ("SURVIVED", "")
    return out


def table(rows):
    def cell(text):
        return text.replace("|", "\\|")
    lines = ["| place | kind | was | became | verdict | by |", "|---|---|---|---|---|---|"]
    lines += [f"| {r['file']}:{r['line']} | {r['kind']} | `{cell(r['was'])}` | `{cell(r['became'])}` | {r['verdict']} | {r['by']} |" for r in rows]
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--n", type=int, required=True)
    p.add_argument("--only", default="", help="of files whose names match")
    p.add_argument("--make", required=True, help="how tests are built in the copy")
    p.add_argument("--yosys", default="yosys")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--build", type=pathlib.Path, required=True)
    p.add_argument("--report", type=pathlib.Path, required=True)
    p.add_argument("--list", action="store_true", help="print what would be tried")
    args = p.parse_args()
    chosen, of = drawn(args)
    print(f"mutate: seed {args.seed}, {len(chosen)} of {of} mistakes", flush=True)
    if args.list:
        print("\n".join(f"  {m.kind}: line {m.line} of {m.named()}" for m in chosen))
        return
    args.tree = (args.build / "tree").resolve()
    for folder in (args.tree, args.report):
        folder.mkdir(parents=True, exist_ok=True)
    mistakes.copy(args.tree, chosen)
    out = verdicts(args, chosen)
    rows = [{"file": m.file, "line": m.line, "kind": m.kind, "was": " ".join(m.was.split()), "became": " ".join(m.new.split()),
             "verdict": out[n][0], "by": out[n][1]} for n, m in enumerate(chosen, 1)]
    count = collections.Counter(r["verdict"] for r in rows)
    summary = (f"seed {args.seed}: {len(rows)} mistakes, {count['found']} found, {count['equivalent']} equivalent, "
               f"{count['SURVIVED']} survived")
    (args.report / "mutate.txt").write_text(f"{summary}\n\n{table(rows)}\n", encoding="utf-8")
    (args.report / "mutate.json").write_text(json.dumps({"seed": args.seed, "mistakes": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{table(rows)}\n\n{summary}")
    sys.exit(1 if count["SURVIVED"] else 0)


if __name__ == "__main__":
    main()

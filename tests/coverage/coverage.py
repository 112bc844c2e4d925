# SPDX-License-Identifier: Apache-2.0
"""What the RTL tests reach of rtl/: coverage.py FOLDER --report FOLDER reads what the instrumented models (instrument.py, cover.cpp)
have written, and prints lines, bits and packets by module; text and JSON go to the report's folder, and what was not reached, by name,
to coverage-missing.txt there. Fails below what tests/coverage/reached says has been reached, and where tests/coverage/excluded does not
say what is; whether the goal is reached is printed. `--accept` takes what is reached now, where it is more."""
import argparse
import collections
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXCLUDED = ROOT / "tests/coverage/excluded"
REACHED = ROOT / "tests/coverage/reached"
GOAL = {"lines": 97.0, "bits": 97.0, "packets": 100.0}
MOST_EXCLUDED = 3.0 # percent of lines and of bits
LANES = (1, 2, 4)
# by the bytes that came in; the last one alone can be too long
SIZES = (("-95", 95), ("96-255", 255), ("256-1499", 1499), ("1500-", 65535))
BOTH = ("OK", "HARD_LIMIT", "TRUNCATED", "BAD_IP", "TOO_LONG", "ABORTED")
REASONS = {"enc": ("SA_INVALID", "SA_STALE_GEN", "SA_DRAINING", "LEASE_END", "SEQ_OVERFLOW", "LEASE_EXPIRED"),
           "dec": ("SA_DRAINING", "REPLAY_OLD", "REPLAY_SEEN", "NO_SA", "SA_MISMATCH", "ICV_FAIL", "BAD_PAD", "FRAGMENT", "BAD_NEXT_HEADER",
                   "ECN_CE", "DUMMY", "NOT_ESP")}


def statuses():
    text = (ROOT / "hw/regs/gen/espalier_card.vh").read_text(encoding="utf-8")
    return {int(n): name for name, n in re.findall(r"^`define ESPC_STATUS_(\w+) 16'd(\d+)$", text, re.M)}


def line_numbers(text):
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


class Seen:
    """All that was written, of every process and every width: a bit, line or packet is reached where it is in any of them."""

    def __init__(self, folder):
        self.width = collections.Counter()
        self.set, self.clear, self.changed = (collections.Counter() for _ in range(3))
        self.lines = collections.defaultdict(collections.Counter)
        self.packets = collections.Counter()
        names = statuses()
        files = sorted(folder.glob("*.cover"))
        if not files:
            sys.exit(f"coverage: no model has written anything into {folder}")
        for file in files:
            for text in file.read_text(encoding="utf-8").splitlines():
                kind, rest = text.split(" ", 1)
                getattr(self, "_" + kind)(rest, names)

    def _bits(self, text, _):
        module, signal, width, word, *values = text.split()
        at = module, signal
        self.width[at] = max(self.width[at], int(width))
        for kept, value in zip((self.set, self.clear, self.changed), values):
            kept[at] |= int(value) << 32 * int(word)

    def _line(self, text, _):
        count, keys = text.split(" ", 1)
        key = dict(part.split("\2", 1) for part in keys.split("\1") if part)
        if key["f"].startswith("rtl/"):
            for number in line_numbers(key.get("S") or key["l"]):
                self.lines[key["f"]][number] += int(count)
            self.lines[key["f"]][int(key["l"])] += int(count)

    def _packet(self, text, names):
        lanes, direction, status, length, count = map(int, text.split())
        size = next(name for name, most in SIZES if length <= most)
        self.packets["enc" if direction == 0 else "dec", names[status], size, lanes] += count


def ranges(mask):
    """Bits of a mask as Verilog writes them, high ones first."""
    out = []
    while mask:
        high = mask.bit_length() - 1
        low = high
        while low and mask >> (low - 1) & 1:
            low -= 1
        out.append(f"{high}:{low}" if high != low else str(high))
        mask &= (1 << low) - 1
    return ",".join(out)


def mask_of(text):
    mask = 0
    for part in text.split(","):
        high, _, low = part.partition(":")
        mask |= (1 << (int(high) + 1)) - (1 << int(low or high))
    return mask


class Excluded:
    """tests/coverage/excluded: one thing a line, and why it cannot be reached. One that was reached after all, or that is not there
    any more, fails the run."""

    WORDS = {"bits": 2, "line": 2, "packet": 3}

    def __init__(self, seen):
        self.seen, self.wrong = seen, []
        self.bits, self.lines, self.packets = collections.Counter(), collections.defaultdict(set), set()
        for number, text in enumerate(EXCLUDED.read_text(encoding="utf-8").splitlines(), 1):
            if not text or text.startswith("#"):
                continue
            what, _, why = text.rpartition(" // ")
            what = what.strip() or text
            kind, *words = what.split()
            if not why.strip() or what == text or len(words) < self.WORDS.get(kind, len(words) + 1) or \
                    not getattr(self, "_" + kind)(words, what):
                self.wrong.append(f"tests/coverage/excluded:{number}: {what}: is not there, was reached, or no reason is given")

    def _bits(self, words, _):
        module, signal = words[0], words[1]
        name, _, part = signal.partition("[")
        found = [at for at in self.seen.width if at[1] == name and module in (at[0], "*")]
        stale = not found
        for at in found:
            whole = (1 << self.seen.width[at]) - 1
            mask = mask_of(part.rstrip("]")) & whole if part else whole & ~self.seen.changed[at]
            stale = stale or bool(mask & self.seen.changed[at]) or (not mask and module != "*")
            self.bits[at] |= mask
        return not stale

    def _line(self, words, what):
        file, text = words[0], what.split(None, 2)[2].strip()
        source = (ROOT / file).read_text(encoding="utf-8").splitlines() if (ROOT / file).exists() else []
        found = [n for n, line in enumerate(source, 1) if line.strip() == text and n in self.seen.lines[file]]
        left = [n for n in found if not self.seen.lines[file][n]]
        self.lines[file].update(left)
        return bool(left)

    def _packet(self, words, _):
        direction, reason, sizes = words
        some = [(direction, reason, size, lanes) for size, _ in SIZES for lanes in LANES if sizes in ("*", size)]
        left = [p for p in some if not self.seen.packets[p]]
        self.packets.update(left)
        return len(left) == len(some) > 0


def counts(reached, left_out, all_of):
    counted = all_of - left_out
    return {"reached": reached, "of": counted, "excluded": left_out, "percent": round(100 * reached / counted, 2) if counted else 100.0}


def by_module(seen, excluded):
    rows, missing = {}, []
    parts = collections.defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    for file, lines in seen.lines.items():
        row = parts[pathlib.Path(file).stem if file.endswith(".v") else pathlib.Path(file).name]
        out = excluded.lines[file]
        row[0] += sum(1 for n, c in lines.items() if c and n not in out)
        row[1] += len(out)
        row[2] += len(lines)
        source = (ROOT / file).read_text(encoding="utf-8").splitlines()
        missing += [f"line {file}:{n} {source[n - 1].strip()}" for n, c in sorted(lines.items()) if not c and n not in out]
    for at, width in seen.width.items():
        row = parts[at[0]]
        out = excluded.bits[at]
        row[3] += (seen.changed[at] & ~out).bit_count()
        row[4] += out.bit_count()
        row[5] += width
        left = ((1 << width) - 1) & ~seen.changed[at] & ~out
        for why, some in (("set", left & seen.set[at] & ~seen.clear[at]), ("clear", left & seen.clear[at] & ~seen.set[at]),
                          ("either", left & ~(seen.set[at] ^ seen.clear[at]))):
            if some:
                missing.append(f"bits {at[0]} {at[1]}[{ranges(some)}] (of {width}) always {why}")
    for name, p in sorted(parts.items()):
        rows[name] = {"lines": counts(*p[:3]), "bits": counts(*p[3:])}
    return rows, sorted(missing)


def points(seen, excluded):
    """Packets by reason, direction, size and width."""
    table, missing = {}, []
    reached = out = 0
    for direction, own in REASONS.items():
        for reason in BOTH + own:
            for size, _ in SIZES:
                for lanes in LANES:
                    point = direction, reason, size, lanes
                    if point in excluded.packets:
                        out += 1
                    elif seen.packets[point]:
                        reached += 1
                    else:
                        missing.append(f"packet {direction} {reason} {size} LANES {lanes}")
                    table[" ".join(map(str, point))] = "excluded" if point in excluded.packets else seen.packets[point]
    return table, counts(reached, out, len(table)), missing


def sums(rows, kind):
    return counts(*(sum(r[kind][f] for r in rows.values()) for f in ("reached", "excluded")),
                  sum(r[kind]["of"] + r[kind]["excluded"] for r in rows.values()))


def text_tables(rows, total, seen, excluded):
    def cells(c):
        return f"{c['percent']:6.2f} {c['reached']:7} {c['of']:7} {c['excluded']:5}"
    head = "%      reached      of  out"
    out = [f"{'module':16}  lines: {head}   bits: {head}"]
    out += [f"{name:16}  {'':7}{cells(r['lines'])}   {'':5} {cells(r['bits'])}" for name, r in rows.items()]
    out.append(f"{'all':16}  {'':7}{cells(total['lines'])}   {'':5} {cells(total['bits'])}")
    out += ["", "packets: reason, direction, and for each size in bytes the packets at LANES 1, 2, 4 (-: excluded, 0: not reached)",
            f"{'':22}" + "".join(f"{size:>24}" for size, _ in SIZES)]
    for direction, own in REASONS.items():
        for reason in BOTH + own:
            line = f"{direction} {reason:18}"
            for size, _ in SIZES:
                cell = ["-" if (direction, reason, size, n) in excluded.packets else str(seen.packets[direction, reason, size, n])
                        for n in LANES]
                line += f"{'/'.join(cell):>24}"
            out.append(line)
    out += ["", f"packets: {total['packets']['reached']} of {total['packets']['of']} points, {total['packets']['excluded']} excluded"]
    return "\n".join(out) + "\n"


def judged(total, least):
    """What is worse than it has to be; and how far the goal is."""
    wrong, left = [], []
    for kind, goal in GOAL.items():
        t = total[kind]
        if t["percent"] < least.get(kind, 0):
            wrong.append(f"{kind}: {t['percent']} %, {least[kind]} have been reached (tests/coverage/reached)")
        if t["percent"] < goal:
            left.append(f"{kind} {t['percent']} of {goal:g} %")
        if kind != "packets" and 100 * t["excluded"] > MOST_EXCLUDED * (t["of"] + t["excluded"]):
            wrong.append(f"{kind}: more than {MOST_EXCLUDED:g} % are excluded")
    return wrong, "goal: " + ("not reached: " + ", ".join(left) if left else "reached")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--report", type=pathlib.Path, required=True)
    p.add_argument("--accept", action="store_true")
    args = p.parse_args()
    seen = Seen(args.folder)
    excluded = Excluded(seen)
    rows, missing = by_module(seen, excluded)
    table, reached, unreached = points(seen, excluded)
    total = {"lines": sums(rows, "lines"), "bits": sums(rows, "bits"), "packets": reached}
    least = {kind: float(value) for kind, value in (line.split() for line in REACHED.read_text(encoding="utf-8").splitlines())}
    wrong, goal = judged(total, least)
    text = text_tables(rows, total, seen, excluded) + goal + "\n"
    print(text, end="")
    args.report.mkdir(parents=True, exist_ok=True)
    (args.report / "coverage.txt").write_text(text, encoding="utf-8")
    (args.report / "coverage-missing.txt").write_text("".join(m + "\n" for m in missing + unreached), encoding="utf-8")
    (args.report / "coverage.json").write_text(json.dumps({"modules": rows, "all": total, "packets": table}, indent=1) + "\n", encoding="utf-8")
    if args.accept:
        REACHED.write_text("".join(f"{k} {max(total[k]['percent'], least.get(k, 0))}\n" for k in GOAL), encoding="utf-8")
    wrong = excluded.wrong + wrong
    if wrong:
        sys.exit("coverage: " + "\n          ".join(wrong) + f"\n          what was not reached: {args.report}/coverage-missing.txt")


if __name__ == "__main__":
    main()

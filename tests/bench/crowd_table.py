# SPDX-License-Identifier: Apache-2.0
"""The table of crowd.sh: a line for each crowd, from what espalier-load wrote and the highest memory seen."""
import json
import sys

HEAD = ("daemon", "crowd", "devices", "up", "seconds", "a second", "median ms", "slowest ms", "CPU us each", "MB")


def main():
    rows = []
    for line in open(sys.argv[1]):
        kind, name, kib, text = line.rstrip("\n").split("\t")
        one = json.loads(text)
        rows.append({
            "daemon": kind, "crowd": name, "devices": one["begun"], "up": one["done"], "seconds": round(one["seconds"], 1),
            "a second": round(one["done"] / one["seconds"]) if one["seconds"] else 0,
            "median ms": round(one["latency_ms"]["median"], 1), "slowest ms": round(one["latency_ms"]["max"]),
            "CPU us each": round(one["responder"]["cpu_us_each"]), "MB": round(int(kib) * 1024 / 1e6),
            "why": one.get("why", ""),
        })
    widths = [max(len(h), *(len(str(r[h])) for r in rows)) for h in HEAD]
    for values in [HEAD] + [tuple(r[h] for h in HEAD) for r in rows]:
        print("  ".join(str(v).ljust(w) if i < 2 else str(v).rjust(w) for i, (v, w) in enumerate(zip(values, widths))))
    for r in rows:
        if r["why"]:
            print("%s, %s: first of those that are not up: %s" % (r["daemon"], r["crowd"], r["why"]))
    if len(sys.argv) > 2 and sys.argv[2]:
        with open(sys.argv[2], "w") as f:
            json.dump(rows, f, indent=1)
    return 0 if all(r["up"] == r["devices"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

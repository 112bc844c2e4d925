# SPDX-License-Identifier: Apache-2.0
"""The table of ike.sh: medians over the rounds of what espalier-load wrote, a line a measure, a column a daemon."""
import json
import statistics
import sys


def main():
    seen = {}
    for line in open(sys.argv[1]):
        kind, name, text = line.rstrip("\n").split("\t")
        seen.setdefault(kind, {}).setdefault(name, []).append(json.loads(text))
    kinds = list(seen)

    def value(kind, name, *path):
        out = []
        for one in seen[kind].get(name, []):
            for p in path:
                one = one.get(p) if isinstance(one, dict) else None
            if one is not None:
                out.append(one)
        return statistics.median(out) if out else None

    cpu, octets = ("responder", "cpu_us_each"), ("responder", "octets_each")
    rows = [
        ("handshake, PSK X25519: CPU us", "handshake", *cpu),
        ("  a second", "handshake", "rate"),
        ("  median ms", "handshake", "latency_ms", "median"),
        ("  octets per IKE and CHILD SA", "handshake", *octets),
        ("handshake, RSA-2048 certificates: CPU us", "certificates", *cpu),
        ("IKE_SA_INIT alone: CPU us", "half-fresh", *cpu),
        ("  octets per half-open SA", "half-fresh", *octets),
        ("  with the connections loaded: CPU us", "half-conns", *cpu),
        ("handshake with the connections loaded: CPU us", "handshake-conns", *cpu),
        ("octets per loaded connection", "connection", "octets_each"),
        ("IKE_SA_INIT without a cookie: CPU us", "cookie", *cpu),
        ("  answered of 12,000", "cookie", "received"),
        ("junk: CPU us", "junk", *cpu),
        ("unknown SPI: CPU us", "unknown", *cpu),
        ("a client while 3,000 a second come: median ms", "flooded", "latency_ms", "median"),
        ("  the slowest of 60, ms", "flooded", "latency_ms", "max"),
        ("  that were refused", "flooded", "failed"),
        ("many SAs held: of the first 2,000, CPU us", "held-first", *cpu),
        ("  of the last 2,000, CPU us", "held-last", *cpu),
        ("  how many", "held", "done"),
        ("  octets per IKE and CHILD SA", "held", *octets),
    ]
    table = []
    print("%-50s" % "medians" + "".join("%14s" % k for k in kinds))
    for title, *path in rows:
        values = {k: value(k, *path) for k in kinds}
        table.append({"measure": title.strip(), "of": path[0], **values})
        print("%-50s" % title + "".join("%14s" % ("-" if values[k] is None else "%.1f" % values[k]) for k in kinds))
    for kind in kinds:
        for one in seen[kind].get("handshake", [])[:1]:
            print("%s, one round, by process:" % kind)
            for p in one.get("responder", {}).get("processes", []):
                grown = (p["octets_after"] - p["octets_before"]) / max(one["done"], 1)
                print("  %-24s %8.1f us  %8.0f octets each" % (p["name"], p["cpu_us_each"], grown))
    if len(sys.argv) > 2 and sys.argv[2]:
        with open(sys.argv[2], "w") as out:
            json.dump({"rows": table}, out, indent=1)


main()

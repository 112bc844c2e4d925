# SPDX-License-Identifier: Apache-2.0
"""Tables and a plot of what tests/rtl/test_perf.c has measured: cycles of the ESP pipelines, packets back to back.
usage: perf.py MEASURED.json [--report FOLDER] [--accept | --check]
  --report   perf.txt and perf.svg into FOLDER, and the tables on standard output
  --accept   MEASURED becomes rtl/perf.json, with rtl/perf.svg and the tables in rtl/README.md
  --check    fails where rtl/perf.svg or rtl/README.md is not of MEASURED"""
import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACCEPTED = ROOT / "rtl/perf.json"
PLOT = ROOT / "rtl/perf.svg"
README = ROOT / "rtl/README.md"
MARKS = ("<!-- perf: made by make perf-accept -->\n", "<!-- /perf -->")
WAYS = (("encap", "encapsulate"), ("decap", "decapsulate"), ("encap_both", "encapsulate, beside the other"),
        ("decap_both", "decapsulate, beside the other"))
COLOURS = {1: "#1b6ca8", 2: "#b5651d", 4: "#2e7d32"}
DASHES = {"encap": "", "decap": "5 3"}


def cell(row, way):
    return f"{row[way] / row['packets']:.2f}"


def tables(rows):
    """One table for each width: a line for each size, all numbers of SAs side by side."""
    lines = []
    counts = sorted({r["sas"] for r in rows})
    for lanes in sorted({r["lanes"] for r in rows}):
        mine = [r for r in rows if r["lanes"] == lanes]
        lines += ["", f"LANES {lanes}, cycles a packet, with {', '.join(map(str, counts))} SAs in turn:", "",
                  "| octets | bound | " + " | ".join(text for _, text in WAYS) + " | latency out | latency in |",
                  "|---:|---:|" + "---|" * len(WAYS) + "---:|---:|"]
        for size in sorted({r["size"] for r in mine}):
            of = sorted((r for r in mine if r["size"] == size), key=lambda r: r["sas"])
            cells = [str(size), cell(of[0], "bound")]
            for way, _ in WAYS:
                values = [cell(r, way) for r in of]
                cells.append(values[0] if len(set(values)) == 1 else ", ".join(values))
            cells += [str(max(r[f"latency_{w}"] for r in of)) for w in ("encap", "decap")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


def plot(rows):
    """Octets of inner packets a cycle over their size, with the most SAs: what the pipelines carry."""
    width, height, left, top, bottom = 720, 400, 60, 30, 50
    most = max(r["sas"] for r in rows)
    mine = [r for r in rows if r["sas"] == most]
    sizes = sorted({r["size"] for r in mine})
    peak = 16 * max(r["lanes"] for r in mine)

    def x(size):
        return left + (width - left - 150) * sizes.index(size) / (len(sizes) - 1)

    def y(octets):
        return top + (height - top - bottom) * (1 - octets / peak)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="18">Octets of inner packets a cycle, {most} SAs in turn (grey: the port\'s bound)</text>']
    for octets in range(0, peak + 1, 16):
        out.append(f'<path d="M{left} {y(octets):.1f}H{width - 150}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y(octets) + 4:.1f}" text-anchor="end">{octets}</text>')
    for size in sizes:
        out.append(f'<text x="{x(size):.1f}" y="{height - bottom + 20}" text-anchor="middle">{size}</text>')
    out.append(f'<text x="{(left + width - 150) / 2:.0f}" y="{height - 10}" text-anchor="middle">octets of the inner packet</text>')
    for lanes in sorted(COLOURS):
        for way, dash in [("bound", "")] + list(DASHES.items()):
            line = [(x(r["size"]), y(r["size"] * r["packets"] / r[way])) for r in mine if r["lanes"] == lanes]
            colour, wide = ("#bbb", 5) if way == "bound" else (COLOURS[lanes], 2)
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="{wide}" stroke-dasharray="{dash}" points="' +
                       " ".join(f"{a:.1f},{b:.1f}" for a, b in line) + '"/>')
            if way != "bound":
                out.append(f'<text x="{line[-1][0] + 8:.1f}" y="{line[-1][1] + (4 if way == "encap" else 18):.1f}" fill="{colour}">'
                           f"LANES {lanes}, {dict(WAYS)[way]}</text>")
    return "\n".join(out + ["</svg>", ""])


def readme(rows):
    """rtl/README.md as it is with these tables between its marks."""
    head, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    return head + MARKS[0] + tables(rows) + MARKS[1] + rest.split(MARKS[1])[1]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("measured", type=pathlib.Path)
    p.add_argument("--report", type=pathlib.Path)
    p.add_argument("--accept", action="store_true")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    text = args.measured.read_text(encoding="utf-8")
    rows = json.loads(text)
    if args.report:
        print(tables(rows))
        (args.report / "perf.txt").write_text(tables(rows), encoding="utf-8")
        (args.report / "perf.svg").write_text(plot(rows), encoding="utf-8")
    if args.accept:
        README.write_text(readme(rows), encoding="utf-8")
        PLOT.write_text(plot(rows), encoding="utf-8")
        ACCEPTED.write_text(text, encoding="utf-8")
    if args.check:
        stale = [str(f.relative_to(ROOT)) for f, want in ((PLOT, plot(rows)), (README, readme(rows)))
                 if f.read_text(encoding="utf-8") != want]
        if stale:
            sys.exit(f"perf: not of {args.measured} (make perf-accept): {', '.join(stale)}")


if __name__ == "__main__":
    main()

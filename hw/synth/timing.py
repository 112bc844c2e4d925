# SPDX-License-Identifier: Apache-2.0
"""Clock frequency of the card's modules on an ECP5-85F (speed grade 6): `make timing TIMING="MODULE..."` (synth.mk) runs this.

Each module, with everything below it, is mapped by Yosys and placed and routed by nextpnr-ecp5 between registers: every input bit
comes from a register and every output bit goes into one, both on scan chains, so four pins are enough, no path is unconstrained
and nothing is optimised away. Nothing is left out of the module. The register chains are in the routed clock as well.
A module is mapped once and routed with each seed: its clock is the median."""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOAL_MHZ = 110


def run(command, log):
    with open(log, "w", encoding="utf-8") as out:
        if subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode:
            sys.exit(f"timing: {command[0]} failed, see {log}:\n" + "".join(open(log, encoding="utf-8").readlines()[-5:]))


def ports(args, top, log):
    """Ports of the elaborated module: {name: (direction, width)}."""
    out = args.build / f"{top}.ports.json"
    run([*args.yosys, "-q", "-p", f"read_verilog {args.sources}; hierarchy -check -top {top} {args.params}; proc; write_json {out}"], log)
    modules = json.loads(out.read_text(encoding="utf-8"))["modules"]
    # with parameters the elaborated module has a name of its own
    found = [m for n, m in modules.items() if n == top or (n.startswith("$paramod") and f"\\{top}\\" in n + "\\")]
    module = next(m for m in found if int(str(m["attributes"].get("top", "0")), 2))
    return {p: (d["direction"], len(d["bits"])) for p, d in module["ports"].items()}


def bench(top, pins, params):
    """Verilog of the module between two scan chains."""
    ins = [(p, w) for p, (d, w) in pins.items() if d == "input" and p != "clk"]
    outs = [(p, w) for p, (d, w) in pins.items() if d == "output"]
    n, m = sum(w for _, w in ins), sum(w for _, w in outs)
    con, at = ["        .clk(clk)"] if "clk" in pins else [], 0
    for p, w in ins:
        con.append(f"        .{p}(in[{at} +: {w}])")
        at += w
    at = 0
    for p, w in outs:
        con.append(f"        .{p}(from[{at} +: {w}])")
        at += w
    values = ", ".join(f".{k}({v})" for k, v in params.items())
    return f"""module bench (input wire clk, input wire scan_in, input wire load, output wire scan_out);
    reg [{n}:0] in;
    reg [{m}:0] out;
    reg load_r;
    wire [{m - 1}:0] from;
    {top} #({values}) dut (
""" + ",\n".join(con) + f"""
    );
    always @(posedge clk) begin
        load_r <= load;
        in <= {{in[{n - 1}:0], scan_in}};
        out <= load_r ? {{1'b0, from}} : {{out[{m - 1}:0], in[{n}]}};
    end
    assign scan_out = out[{m}];
endmodule
"""


def routed(args, top, netlist, seed):
    """Clock and resources of one placement."""
    report = args.build / f"{top}.{seed}.report.json"
    run([*args.nextpnr, "--85k", "--package", "CABGA756", "--speed", "6", "--json", str(netlist), "--freq", str(GOAL_MHZ), "--seed",
         str(seed), "--lpf-allow-unconstrained", "--timing-allow-fail", "--report", str(report)], args.build / f"{top}.{seed}.log")
    data = json.loads(report.read_text(encoding="utf-8"))
    return min(c["achieved"] for c in data["fmax"].values()), {k: v["used"] for k, v in data["utilization"].items()}


def timing(args, top):
    log = args.build / f"{top}.log"
    params = dict(p.split("=") for p in args.set if p.split("=")[0] in known_parameters(args, top))
    args.params = " ".join(f"-chparam {k} {v}" for k, v in params.items())
    pins = ports(args, top, log)
    source = args.build / f"{top}.bench.v"
    source.write_text(bench(top, pins, params), encoding="utf-8")
    netlist = args.build / f"{top}.json"
    run([*args.yosys, "-q", "-p", f"read_verilog {args.sources} {source}; synth_ecp5 -top bench -json {netlist}"], log)
    each = [routed(args, top, netlist, seed) for seed in args.seed]
    mhz = [round(m, 1) for m, _ in each]
    return {"mhz": statistics.median_low(mhz), "each": mhz,
            **{name: statistics.median_low(used.get(cell, 0) for _, used in each)
               for name, cell in (("lut4", "TRELLIS_COMB"), ("ff", "TRELLIS_FF"), ("ram", "DP16KD"))}}


def known_parameters(args, top):
    found = (re.search(rf"^module {top}\b.*?\);", (ROOT / f).read_text(encoding="utf-8"), re.M | re.S)
             for f in args.sources.split() if f.endswith(".v"))
    head = next(m.group(0) for m in found if m)
    return re.findall(r"^\s*parameter\s+(?:\[[^]]*\]\s*)?(\w+)\s*=", head, re.M)


MARKS = ("<!-- timing: made by make timing-accept -->\n", "<!-- /timing -->")
README = ROOT / "rtl/README.md"
HEAD = "| module | MHz | of each seed | LUT4 | FF | RAM |\n|---|---:|---|---:|---:|---:|\n"


def row(top, r):
    return f"| {top} | {r['mhz']} | {', '.join(map(str, r['each']))} | {r['lut4']} | {r['ff']} | {r['ram']} |"


def accepted():
    """What stands in rtl/README.md: how it was measured, and {module: row}."""
    lines = README.read_text(encoding="utf-8").split(MARKS[0])[1].split(MARKS[1])[0].splitlines()
    found = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    return lines[0], {n: line for n, line in found.items() if n not in ("module", "---")}


def readme(measured, rows):
    """rtl/README.md between its marks: the new rows, and those of modules that were not measured now."""
    before, table = accepted()
    kept = [n for n in table if n not in rows]
    if before != measured and kept:
        sys.exit(f"timing: rtl/README.md has '{before}', and this is '{measured}': the rows of {', '.join(kept)} cannot stay beside it")
    table.update({n: row(n, r) for n, r in rows.items()})
    head, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    README.write_text(f"{head}{MARKS[0]}{measured}\n\n{HEAD}" + "".join(line + "\n" for line in table.values()) + MARKS[1] +
                      rest.split(MARKS[1])[1], encoding="utf-8")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--yosys", default="yosys")
    p.add_argument("--nextpnr", default="nextpnr-ecp5")
    p.add_argument("--sources", required=True)
    p.add_argument("--build", type=pathlib.Path, required=True)
    p.add_argument("--report", type=pathlib.Path, required=True)
    p.add_argument("--set", nargs="*", default=[], help="parameters, where a module has them")
    p.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3])
    p.add_argument("--readme", action="store_true", help="write the table into rtl/README.md")
    p.add_argument("modules", nargs="+")
    args = p.parse_args()
    args.yosys, args.nextpnr = args.yosys.split(), args.nextpnr.split()
    args.build.mkdir(parents=True, exist_ok=True)
    args.report.mkdir(parents=True, exist_ok=True)
    version = [subprocess.run([*t, "--version"], capture_output=True, text=True, check=False) for t in (args.yosys, args.nextpnr)]
    yosys, nextpnr = (re.search(r"(?:Yosys |Version (?:nextpnr-)?)([0-9][0-9.]*)", v.stdout + v.stderr).group(1) for v in version)
    tools = f"Yosys {yosys}; nextpnr-{nextpnr}"
    rows = {}
    measured = f"Measured: ECP5-85F, speed grade 6, median of seeds {' '.join(map(str, args.seed))}, {' '.join(args.set)}; {tools}"
    print(f"{measured}\n\n{HEAD}", end="", flush=True)
    for top in args.modules:
        rows[top] = timing(args, top)
        print(row(top, rows[top]), flush=True)
    (args.report / "timing.json").write_text(json.dumps({"tools": tools, "seed": args.seed, "set": args.set, "modules": rows}, indent=1) + "\n",
                                             encoding="utf-8")
    if args.readme:
        readme(measured, rows)
    slow = [f"{n} {r['mhz']} MHz" for n, r in rows.items() if r["mhz"] < GOAL_MHZ]
    if slow:
        sys.exit(f"timing: below {GOAL_MHZ} MHz: " + ", ".join(slow))


if __name__ == "__main__":
    main()

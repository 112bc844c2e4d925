# SPDX-License-Identifier: Apache-2.0
"""What the card's RTL costs: `make synth` (see hw/synth/synth.mk) runs this.

Every module of the elaborated card is mapped by Yosys on its own, RAM and FIFO wrappers of rtl/lib flattened into their users;
nothing is left out: the totals are the sum over all instances. Results are kept by the hash of the elaborated module, so only
what changed is mapped again. Tables go to build/report/synth.{json,txt} and rtl/README.md; hw/synth/accepted.json is what may
not get worse: more than 2 % of area or one level more fails until `make synth-accept`."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import netlist

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = "espalier_top"
# what the tables show one by one, with everything below it
BLOCKS = ["espalier_top", "esp_pipe", "esp_tx", "esp_rx", "gcm_core", "ring_engine", "csr_regs"]
FAMILIES = {
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf -top {top} {mux}",
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf -top {top} {mux}",
    "ecp5": "synth_ecp5 -top {top}",
}
# adders wider than a LUT stay whole: they are carry chains in every family
LEVELS = ("opt -full; memory -nomap; memory_map -rom-only; opt -full; wreduce; peepopt; opt_clean; alumacc; maccmap -unmap; "
          "alumacc; opt; techmap */* */t:$alu */r:Y_WIDTH>4 %i %d; opt -fast; simplemap; abc -lut 6; opt_clean")
# what the ratchet compares
AREA = ("lut", "lutram", "ff", "bram", "uram")
MEMORY_MB = 4000


def run(yosys, script, log):
    """One Yosys run with bounded memory; its log is kept."""
    limit = f"ulimit -v {MEMORY_MB * 1024}; exec "
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run(["sh", "-c", f'{limit} "$@"', "sh", *yosys, "-q", "-p", script], cwd=ROOT, stdout=out,
                              stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"synth: Yosys failed, see {log}:\n" + "".join(open(log, encoding="utf-8").readlines()[-5:]))


def elaborate(args, lanes):
    """The card as RTLIL text by module: hierarchy of our modules, with the wrappers of rtl/lib inside their users."""
    out = args.build / f"elab_l{lanes}.il"
    run(args.yosys, f"read_verilog {args.sources}; hierarchy -check -top {TOP} -chparam LANES {lanes}; proc; "
        "select -set lib A:src=rtl?lib?*; setattr -mod -set keep_hierarchy 1 * @lib %d; flatten; opt_clean; "
        f"setattr -unset src; setattr -mod -unset src; write_rtlil {out}", args.build / f"elab_l{lanes}.log")
    modules, name, lines, attributes = {}, None, [], []
    for line in out.read_text(encoding="utf-8").splitlines():
        if line.startswith("attribute"):
            attributes.append(line)
        elif line.startswith("module "):
            name, lines, attributes = line.split()[1], attributes + [line], []
        elif line == "end":
            modules[name] = "\n".join(lines + ["end", ""])
            name = None
        elif name:
            lines.append(line)
    return modules


def children(text, modules):
    found = {}
    for kind in re.findall(r"^  cell (\S+) \S+$", text, re.M):
        if kind in modules:
            found[kind] = found.get(kind, 0) + 1
    return found


def stub(text):
    """A child seen from outside: its ports."""
    ports = re.findall(r"^  wire .*(?:input|output) \d+ .*$", text, re.M)
    head = re.search(r"^module .*$", text, re.M).group(0)
    return "\n".join(["attribute \\keep_hierarchy 1", "attribute \\blackbox 1", head, *ports, "end", ""])


def plain(name):
    """Module name as it stands in the source."""
    return name.split("\\")[1] if name.startswith("$paramod") and "\\" in name else name.lstrip("\\")


def normal(text):
    """Text without the numbers that change when another line of another file does."""
    seen = {}
    return re.sub(r"\$[^\s\\]*\$[^\s]*", lambda m: seen.setdefault(m.group(0), f"$n{len(seen)}"), text)


def measure(args, modules, name, how):
    """Path of the cached netlist of one module; mapped when it is not there yet."""
    text = modules[name]
    kids = children(text, modules)
    body = "\n".join([text] + [stub(modules[k]) for k in sorted(kids)])
    mux = "-nowidelut" if not plain(name).startswith("aes") else ""
    flow = LEVELS if how == "levels" else FAMILIES[how].format(top="{top}", mux=mux)
    key = hashlib.sha256((normal(body) + flow + args.version).encode()).hexdigest()[:24]
    place = args.build / "cache"
    out = place / f"{key}.{how}.json"
    if not out.exists():
        # two modules may be the same but for their names
        mine = f"{key}.{how}.{threading.get_ident()}"
        source = place / f"{mine}.il"
        # a short name: some passes choke on the parameters in it
        source.write_text(body.replace(f"module {name}\n", "module \\unit\n"), encoding="utf-8")
        part = place / f"{mine}.part"
        run(args.yosys, f"read_rtlil {source}; hierarchy -top unit; {flow.format(top='unit')}; write_json {part}",
            place / f"{key}.{how}.log")
        source.unlink()
        part.rename(out)
        print(f"  SYNTH   {plain(name)} {how}", flush=True)
    return out


def totals(name, modules, own, memo):
    """Resources of a module with everything below it."""
    if name not in memo:
        total = dict(own[name])
        for kid, n in children(modules[name], modules).items():
            below = totals(kid, modules, own, memo)
            total = {f: total[f] + n * below[f] for f in total}
        memo[name] = total
    return memo[name]


def instances(top, modules):
    """How often each module stands in the card."""
    count = {}

    def walk(name, n):
        count[name] = count.get(name, 0) + n
        for kid, k in children(modules[name], modules).items():
            walk(kid, n * k)

    walk(top, 1)
    return count


def report(args):
    result = {"tool": args.version, "kind": "measured", "lanes": {}}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for lanes in args.lanes:
            modules = elaborate(args, lanes)
            top = next(m for m in modules if plain(m) == TOP)
            used = instances(top, modules)
            jobs = {(n, h): pool.submit(measure, args, modules, n, h) for n in used for h in args.families + ["levels"]}
            paths = {k: j.result() for k, j in jobs.items()}
            result["lanes"][str(lanes)] = table(args, modules, top, used, paths)
    return result


def label(name, modules, used):
    """Source name, with a number where several parameter sets of it exist."""
    same = sorted(m for m in used if plain(m) == plain(name))
    return plain(name) if len(same) == 1 else f"{plain(name)}#{same.index(name) + 1}"


def table(args, modules, top, used, paths):
    graphs = {}
    for n in used:
        g = netlist.Levels(paths[n, "levels"], "unit")
        # children carry their full names, the unit itself was renamed
        graphs[n] = g
        g.children = [(i, next((m for m in used if m in (k, "\\" + k)), k), c) for i, k, c in g.children]
    out = {"modules": {}, "blocks": {}}
    for n in used:
        depth, path = netlist.longest(graphs, n, only=True)
        out["modules"][label(n, modules, used)] = {"instances": used[n], "levels": depth, "path": path}
    for n in used:
        if plain(n) in BLOCKS:
            depth, path = netlist.longest(graphs, n)
            out["blocks"][label(n, modules, used)] = {"levels": depth, "path": path}
    for fam in args.families:
        own = {}
        for n in used:
            own[n], unknown = netlist.area(paths[n, fam], "unit")
            if unknown:
                print(f"synth: {plain(n)}: cells that no table knows: {unknown}", file=sys.stderr)
        memo = {}
        for n in used:
            out["modules"][label(n, modules, used)][fam] = own[n]
            if plain(n) in BLOCKS:
                out["blocks"][label(n, modules, used)][fam] = totals(n, modules, own, memo)
    return out


def text_tables(result, families):
    """The tables for people: blocks with everything in them, then modules on their own."""
    lines = []
    for part, title in (("blocks", "with everything inside"), ("modules", "on its own, without its children")):
        for lanes, data in result["lanes"].items():
            lines += ["", f"LANES {lanes}, each {part[:-1]} {title}:", "",
                      "| " + part[:-1] + " | " + ("n | " if part == "modules" else "") + "levels | " +
                      " | ".join(f"{f} LUT | LUT RAM | FF | BRAM" for f in families) + " |",
                      "|---|" + ("---:|" if part == "modules" else "") + "---:|" + "---:|" * 4 * len(families)]
            order = data[part].items()
            if part == "modules":
                order = sorted(order, key=lambda e: (-e[1]["levels"], e[0]))
            for name, row in order:
                cells = [name] + ([row["instances"]] if part == "modules" else []) + [row["levels"]]
                for f in families:
                    a = row[f]
                    cells += [a["lut"], a["lutram"], a["ff"], f'{a["bram"]:g}']
                lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    return "\n".join(lines).strip() + "\n"


def worse(result, accepted):
    """What is worse than accepted, in words."""
    found = []
    for lanes, data in result["lanes"].items():
        for part in ("blocks", "modules"):
            old = accepted.get("lanes", {}).get(lanes, {}).get(part, {})
            for name, row in data[part].items():
                if name not in old:
                    found.append(f"LANES {lanes} {name}: not in hw/synth/accepted.json")
                    continue
                if row["levels"] > old[name]["levels"]:
                    found.append(f"LANES {lanes} {name}: {row['levels']} levels, accepted {old[name]['levels']}: " +
                                 " > ".join(row["path"][:1] + row["path"][-1:]))
                for fam in FAMILIES:
                    if fam not in row or fam not in old[name]:
                        continue
                    for field in AREA:
                        was, now = old[name][fam][field], row[fam][field]
                        # a handful of cells is noise of the mapper, not growth
                        if now > was * 1.02 and now - was > (4 if field in ("lut", "ff") else 0):
                            found.append(f"LANES {lanes} {name} {fam}: {now:g} {field}, accepted {was:g}")
    return found


def slim(result):
    """What accepted.json keeps: the numbers that are compared, no paths."""
    keep = json.loads(json.dumps(result))
    for data in keep["lanes"].values():
        for part in ("blocks", "modules"):
            for row in data[part].values():
                row.pop("path")
                for fam in FAMILIES.keys() & row.keys():
                    row[fam] = {f: int(v) if v == int(v) else v for f, v in row[fam].items() if f in AREA}
    return keep


def merge(old, new):
    """Accepted figures of runs with fewer families or LANES keep the others'."""
    for lanes, data in new["lanes"].items():
        mine = old.setdefault("lanes", {}).setdefault(lanes, {"blocks": {}, "modules": {}})
        for part in ("blocks", "modules"):
            mine[part] = {n: {**mine[part].get(n, {}), **row} for n, row in data[part].items()}
    return {**old, "tool": new["tool"], "kind": new["kind"]}


def readme(result, families):
    """rtl/README.md between its marks."""
    path = ROOT / "rtl/README.md"
    mark = ("<!-- synth: made by make synth-accept -->", "<!-- /synth -->")
    old = path.read_text(encoding="utf-8")
    note = (f"Measured by {result['tool']} ({', '.join(families)}), sum over all modules; levels are LUT6 between registers, "
            f"{netlist.ADDER}.\n\n")
    head, rest = old.split(mark[0])
    path.write_text(head + mark[0] + "\n" + note + text_tables(result, families) + mark[1] + rest.split(mark[1])[1],
                    encoding="utf-8")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--yosys", default="yosys", help="program, with arguments")
    p.add_argument("--sources", required=True, help="what read_verilog gets: -I flags and files")
    p.add_argument("--build", type=pathlib.Path, required=True)
    p.add_argument("--report", type=pathlib.Path, required=True)
    p.add_argument("--lanes", default="1 2 4")
    p.add_argument("--families", default="xcup")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--accept", action="store_true")
    args = p.parse_args()
    args.yosys = args.yosys.split()
    args.lanes = [int(x) for x in args.lanes.split()]
    args.families = args.families.split()
    for f in args.families:
        if f not in FAMILIES:
            sys.exit(f"synth: family {f}: expected {', '.join(FAMILIES)}")
    (args.build / "cache").mkdir(parents=True, exist_ok=True)
    args.report.mkdir(parents=True, exist_ok=True)
    args.version = subprocess.run(args.yosys + ["-V"], capture_output=True, text=True, check=True).stdout.strip()
    result = report(args)
    (args.report / "synth.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    tables = text_tables(result, args.families)
    (args.report / "synth.txt").write_text(f"{args.version}, measured\n\n{tables}", encoding="utf-8")
    print(tables)
    ratchet = ROOT / "hw/synth/accepted.json"
    accepted = json.loads(ratchet.read_text(encoding="utf-8")) if ratchet.exists() else {}
    if args.accept:
        ratchet.write_text(json.dumps(merge(accepted, slim(result)), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        readme(result, args.families)
        return
    found = worse(result, accepted)
    if found:
        sys.exit("synth: worse than accepted (make synth-accept takes the new figures):\n  " + "\n  ".join(found))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Reads the netlists that Yosys writes: cells by kind of resource, and logic levels by a walk over the whole design.

Levels count LUT6 between registers (memory -nomap; abc -lut 6). An adder or comparison of more than four bits is a carry chain
and counts as ADDER says; a memory with an asynchronous read port counts as one level, one with a registered port begins and ends
paths. Modules are mapped one by one and put together here, so a path through several modules is counted whole."""
import collections
import json
import re

LUTRAM = {"RAM32X1S": 1, "RAM32X1D": 2, "RAM32M": 4, "RAM32M16": 8, "RAM64X1S": 1, "RAM64X1D": 2, "RAM64M": 4, "RAM64M8": 8,
          "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
          "TRELLIS_DPR16X4": 2, "$__XILINX_SHREG_": 1}
BRAM = {"RAMB18E1": 0.5, "RAMB18E2": 0.5, "RAMB36E1": 1, "RAMB36E2": 1, "DP16KD": 1, "PDPW16KD": 1}
ADDER = "an adder or comparison counts 2 up to 32 bits and 3 beyond"
FIELDS = ("lut", "lutram", "ff", "bram", "uram", "carry", "mux", "dsp", "other")


def resource(cell):
    """(field, amount) of one mapped cell, or None for what costs nothing."""
    if re.fullmatch(r"LUT[1-6]|LUT4|INV", cell):
        return "lut", 1
    if cell in LUTRAM:
        return "lutram", LUTRAM[cell]
    if re.match(r"FD[CPRS]E|TRELLIS_FF", cell):
        return "ff", 1
    if cell in BRAM:
        return "bram", BRAM[cell]
    if cell == "URAM288":
        return "uram", 1
    if cell in ("CARRY4", "CARRY8", "CCU2C"):
        # an ECP5 carry cell takes two LUT4 of its own
        return "carry", 1
    if re.match(r"MUXF[5-9]|PFUMX|L6MUX21", cell):
        return "mux", 1
    if re.match(r"DSP48|MULT18X18D", cell):
        return "dsp", 1
    if cell in ("VCC", "GND", "VHI", "VLO", "BUF", "GSR"):
        return None
    return "other", 1


def area(path, name):
    """Resources of module `name` in a mapped JSON netlist, without its children."""
    with open(path, encoding="utf-8") as f:
        design = json.load(f)
    count = collections.Counter()
    unknown = collections.Counter()
    for cell in design["modules"][name]["cells"].values():
        if is_child(cell["type"], design):
            continue
        found = resource(cell["type"])
        if found:
            count[found[0]] += found[1]
            if found[0] == "other":
                unknown[cell["type"]] += 1
    if count["carry"] and "CCU2C" in {c["type"] for c in design["modules"][name]["cells"].values()}:
        count["lut"] += 2 * count["carry"]
    return {f: count[f] for f in FIELDS}, dict(unknown)


def is_child(kind, design):
    module = design["modules"].get(kind)
    return module is not None and "keep_hierarchy" in module["attributes"]


class Levels:
    """The combinational graph of one module: arcs between bits, each bit a number; children are boundaries."""

    def __init__(self, path, name):
        with open(path, encoding="utf-8") as f:
            design = json.load(f)
        module = design["modules"][name]
        self.name = name
        self.ports = {p: (d["direction"], d["bits"]) for p, d in module["ports"].items()}
        self.luts = []      # (inputs, output, cost, cell)
        self.starts = []    # (bit, what)
        self.ends = []      # (bit, what)
        self.children = []  # (instance, module, {port: bits})
        self.names = {}
        for net, data in module["netnames"].items():
            for i, bit in enumerate(data["bits"]):
                if isinstance(bit, int) and (bit not in self.names or len(net) < len(self.names[bit].split("[")[0])):
                    if not net.startswith("$") or bit not in self.names:
                        self.names[bit] = f"{net}[{i}]" if len(data["bits"]) > 1 else net
        for inst, cell in module["cells"].items():
            if is_child(cell["type"], design):
                self.children.append((inst, cell["type"], cell["connections"]))
            else:
                self.add(inst, cell)

    def add(self, inst, cell):
        kind, con = cell["type"], cell["connections"]
        bits = lambda p: [b for b in con.get(p, []) if isinstance(b, int)]
        if kind == "$lut":
            self.luts.append((bits("A"), con["Y"][0], 1, inst))
        elif kind == "$alu":
            wide = max(len(con["A"]), len(con["B"]), len(con["Y"]))
            ins = bits("A") + bits("B") + bits("CI") + bits("BI")
            self.luts += [(ins, b, 2 if wide <= 32 else 3, inst) for p in ("Y", "CO", "X") for b in bits(p)]
        elif kind == "$fa":
            for n, pair in enumerate(zip(con["X"], con["Y"])):
                ins = [con[p][n] for p in "ABC" if isinstance(con[p][n], int)]
                self.luts += [(ins, b, 1, inst) for b in pair if isinstance(b, int)]
        elif kind.startswith("$mem"):
            self.memory(inst, cell, con)
        elif re.match(r"\$_[A-Z]*DFF|\$_[SA]*DFF|\$s?d?ff|\$_FF_", kind):
            self.starts += [(b, inst) for b in bits("Q")]
            self.ends += [(b, inst) for p in con if p not in ("Q", "C", "CLK") for b in bits(p)]
        elif kind == "$_NOT_":
            self.luts.append((bits("A"), con["Y"][0], 1, inst))
        elif kind not in ("$scopeinfo",):
            raise ValueError(f"{self.name}: unmapped cell {kind} ({inst})")

    def memory(self, inst, cell, con):
        par = cell["parameters"]
        width, ports = int(par["WIDTH"], 2), int(par["RD_PORTS"], 2)
        abits = int(par["ABITS"], 2)
        clocked = par["RD_CLK_ENABLE"]
        # constants of the parameter are written with the highest port first
        for p in range(ports):
            data = [b for b in con["RD_DATA"][p * width:(p + 1) * width] if isinstance(b, int)]
            addr = [b for b in con["RD_ADDR"][p * abits:(p + 1) * abits] if isinstance(b, int)]
            if clocked[-1 - p] == "1":
                self.starts += [(b, inst) for b in data]
                self.ends += [(b, inst) for b in addr]
            else:
                self.luts += [(addr, b, 1, inst) for b in data]
        for name in con:
            if name.startswith("WR_") or name in ("RD_EN", "RD_ARST", "RD_SRST"):
                self.ends += [(b, inst) for b in con[name] if isinstance(b, int)]


def build(modules, top, only=None):
    """Flattens mapped modules into one graph: (cost by node, successors, starts, ends, names). `only`: no children."""
    luts, starts, ends, names = [], [], [], {}
    alias = {}

    def find(x):
        while x in alias:
            x = alias[x]
        return x

    def place(kind, prefix, outside):
        m = modules[kind]
        mine = lambda b: (prefix, b)
        for port, (way, bits) in m.ports.items():
            for i, b in enumerate(bits):
                if not isinstance(b, int):
                    continue
                if outside is None:
                    (starts if way == "input" else ends).append((mine(b), f"{port}[{i}]"))
                elif port in outside[1] and i < len(outside[1][port]):
                    out = outside[1][port][i]
                    if isinstance(out, int):
                        link((outside[0], out), mine(b), way)
        luts.extend(([mine(b) for b in ins], mine(out), cost, prefix) for ins, out, cost, _ in m.luts)
        starts.extend((mine(b), prefix + m.names.get(b, what)) for b, what in m.starts)
        ends.extend((mine(b), prefix + m.names.get(b, what)) for b, what in m.ends)
        for b, n in m.names.items():
            names[mine(b)] = prefix + n
        for inst, child, con in m.children:
            if only:
                kid = modules[child]
                for port, bits in con.items():
                    way = kid.ports[port][0]
                    for b in bits:
                        if isinstance(b, int):
                            (ends if way == "input" else starts).append((mine(b), f"{inst}.{port}"))
            else:
                place(child, prefix + inst + ".", (prefix, con))

    links = []

    def link(outer, inner, way):
        links.append((outer, inner) if way == "input" else (inner, outer))

    place(top, "", None)
    for src, dst in links:
        luts.append(([src], dst, 0, None))
    return luts, starts, ends, names


def longest(modules, top, only=False):
    """The longest path: (levels, [names of nets on the way, first to last])."""
    luts, starts, ends, names = build(modules, top, only)
    driver = {}
    for n, (ins, out, cost, where) in enumerate(luts):
        driver[out] = n
    level, back = {}, {}
    for b, _ in starts:
        level[b] = 0
    # iterative depth first walk from the ends
    for end, _ in ends:
        if end in level:
            continue
        stack = [end]
        while stack:
            bit = stack[-1]
            if bit in level:
                stack.pop()
                continue
            n = driver.get(bit)
            if n is None:
                level[bit] = 0
                stack.pop()
                continue
            ins, _, cost, _ = luts[n]
            todo = [i for i in ins if i not in level]
            if todo:
                if len(stack) > 4 * len(luts) + 16:
                    raise ValueError(f"{top}: combinational loop at {names.get(bit)}")
                stack += todo
                continue
            best = max(ins, key=lambda i: level[i]) if ins else None
            level[bit] = (level[best] if best is not None else 0) + cost
            back[bit] = best
            stack.pop()
    if not ends:
        return 0, []
    worst, what = max(ends, key=lambda e: level[e[0]])
    path, bit = [what], worst
    while bit is not None:
        name = names.get(bit)
        if name and "$" not in name and name != path[-1]:
            path.append(name)
        bit = back.get(bit)
    return level[worst], path[::-1]

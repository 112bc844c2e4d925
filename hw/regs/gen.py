#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the C header, the Verilog header and the manual's tables from espalier.rdl.

usage: gen.py [--check] [OUTDIR]      --check compares with OUTDIR instead of writing and exits 1 on drift
gen/digests holds the SHA-256 of the sources and of what was made of them, for machines without systemrdl-compiler.
"""
import hashlib
import pathlib
import sys

from systemrdl import RDLCompiler
from systemrdl.node import RegNode, RegfileNode

HERE = pathlib.Path(__file__).resolve().parent
STRUCTS = ["sa_command", "sa_blob", "sa_result", "packet_desc", "completion"]
ENUMS = ["status", "sa_op", "pkt_op", "sa_alg", "sa_integ", "sa_mode", "family", "queue_cause", "block_type", "counter"]
HEAD = "Generated from hw/regs/espalier.rdl by hw/regs/gen.py; do not edit."


def text(node):
    return (node.get_property("desc") or "").strip()


def load():
    rdl = RDLCompiler()
    rdl.compile_file(str(HERE / "espalier.rdl"))
    maps = {name: rdl.elaborate(name).top for name in ["bar0"] + STRUCTS}
    return maps, find_enums()


def find_enums():
    """Reads each enumeration through a register that encodes it, so that unused ones are found too."""
    src = (HERE / "espalier.rdl").read_text()
    probe = "".join(
        "reg { regwidth = 32; field { encode = %s; } F[%d]; } r_%s @ %d;\n" % (n, width(src, n), n, 4 * i)
        for i, n in enumerate(ENUMS))
    tmp = HERE / ".probe.rdl"
    tmp.write_text(src + "\naddrmap probe__ {\n" + probe + "};\n")
    try:
        rdl = RDLCompiler()
        rdl.compile_file(str(tmp))
        top = rdl.elaborate("probe__").top
    finally:
        tmp.unlink()
    return {n: [(m.name, m.value, (m.rdl_desc or "").strip())
                for m in top.get_child_by_name("r_" + n).get_child_by_name("F").get_property("encode")]
            for n in ENUMS}


def width(src, name):
    body = src[src.index("enum %s {" % name):]
    return int(body[body.index("=") + 1:body.index("'d")])


def regs(node, prefix="", base=0):
    """Yields (name, address, count, stride, RegNode) of every register of a block."""
    for child in node.children():
        if isinstance(child, RegNode):
            if child.is_array:
                yield prefix + child.inst_name, base + child.raw_address_offset, child.array_dimensions[0], child.array_stride, child
            else:
                yield prefix + child.inst_name, base + child.address_offset, 1, 0, child


def regfiles(node):
    return [c for c in node.children() if isinstance(c, RegfileNode)]


def real_fields(reg):
    return [f for f in reg.fields() if f.inst_name not in ("VALUE",)]


# ------------------------------------------------------------------------------------------------ C
def c_header(maps, enums):
    out = ["// SPDX-License-Identifier: Apache-2.0", "// " + HEAD,
           "// Registers, descriptors and completions of the card. All of it is little-endian (le16_t ... le64_t).",
           "#ifndef ESPALIER_CARD_H", "#define ESPALIER_CARD_H", "", "#include <stddef.h>", "#include <stdint.h>", "",
           "typedef uint16_t le16_t;", "typedef uint32_t le32_t;", "typedef uint64_t le64_t;", ""]
    for name, members in enums.items():
        out.append("enum espc_%s {" % name)
        for m, v, d in members:
            out.append("    ESPC_%s_%s = %d, // %s" % (name.upper(), m, v, d))
        out += ["};", "// X(name, value, description)", "#define ESPC_%s_LIST(X) \\" % name.upper()]
        out += ["    X(%s, %d, \"%s\") \\" % (m, v, d) for m, v, d in members]
        out[-1] = out[-1][:-2]
        out.append("")
    out += ["// BAR0 registers: byte offsets, field masks and shifts."]
    bar = maps["bar0"]
    for name, addr, _, _, reg in regs(bar):
        out += c_reg("ESPC_REG_" + name, "ESPC_" + name, addr, reg)
    for rf in regfiles(bar):
        n = rf.inst_name
        out += ["#define ESPC_%s_COUNT %d" % (n, rf.array_dimensions[0]),
                "#define ESPC_%s_STRIDE 0x%x" % (n, rf.array_stride),
                "#define ESPC_REG_%s(i) (0x%04xu + 0x%xu * (uint32_t)(i))" % (n, rf.raw_address_offset, rf.array_stride)]
        for name, addr, count, stride, reg in regs(rf):
            if count > 1:
                out.append("#define ESPC_REG_%s_%s(i, j) (0x%04xu + 0x%xu * (uint32_t)(i) + 0x%xu * (uint32_t)(j))" %
                           (n, name, rf.raw_address_offset + addr, rf.array_stride, stride))
            else:
                out += c_reg("ESPC_REG_%s_%s(i)" % (n, name), "ESPC_%s_%s" % (n, name), None, reg,
                             "(0x%04xu + 0x%xu * (uint32_t)(i))" % (rf.raw_address_offset + addr, rf.array_stride))
    out.append("")
    for s in STRUCTS:
        out += c_struct(maps[s], s)
    out += ["#endif", ""]
    return "\n".join(out)


def constant(field):
    """What a field always reads as, None where it changes."""
    return None if field.is_sw_writable else field.get_property("reset")


def c_reg(macro, fieldprefix, addr, reg, expr=None):
    out = ["#define %s %s%s" % (macro, expr or "0x%04xu" % addr, (" // " + text(reg)) if text(reg) else "")]
    for f in real_fields(reg):
        p = "%s_%s" % (fieldprefix, f.inst_name)
        out += ["#define %s_SHIFT %d" % (p, f.low), "#define %s_MASK 0x%08xu" % (p, ((1 << f.width) - 1) << f.low)]
        if constant(f) is not None:
            out.append("#define %s %d" % (p, constant(f)))
    return out


def c_struct(top, name):
    types = {8: "uint8_t", 16: "le16_t", 32: "le32_t", 64: "le64_t"}
    out = ["// %s: %s" % (top.get_property("name"), text(top)), "struct espc_%s {" % name]
    for n, _, count, _, reg in regs(top):
        dim = "[%d]" % count if count > 1 else ""
        out.append("    %s %s%s;%s" % (types[reg.get_property("regwidth")], n, dim, (" // " + text(reg)) if text(reg) else ""))
    out += ["};", "_Static_assert(sizeof(struct espc_%s) == %d, \"size of %s\");" % (name, top.size, name)]
    for n, addr, _, _, reg in regs(top):
        out.append("_Static_assert(offsetof(struct espc_%s, %s) == 0x%x, \"%s.%s\");" % (name, n, addr, name, n))
        for f in real_fields(reg):
            p = "ESPC_%s_%s_%s" % (name.upper(), n.upper(), f.inst_name)
            out += ["#define %s_SHIFT %d" % (p, f.low), "#define %s_MASK 0x%xu" % (p, ((1 << f.width) - 1) << f.low)]
    listed = [(n, a, r.get_property("regwidth") // 8 * c) for n, a, c, _, r in regs(top)]
    out.append("// X(field, offset, bytes)")
    out.append("#define ESPC_%s_FIELDS(X) \\" % name.upper())
    out += ["    X(%s, 0x%x, %d) \\" % t for t in listed]
    out[-1] = out[-1][:-2]
    out.append("")
    return out


def status_header(enums):
    """The public part: packet and SA-command statuses, which every engine reports, without any register."""
    out = ["// SPDX-License-Identifier: Apache-2.0", "// " + HEAD,
           "// Statuses and drop reasons, the same numbers in every engine and on the card.",
           "#ifndef ESPALIER_STATUS_H", "#define ESPALIER_STATUS_H", "", "enum esp_status {"]
    out += ["    ESP_STATUS_%s = %d, // %s" % m for m in enums["status"]] + ["};", ""]
    out += ["// X(name, value, description)", "#define ESP_STATUS_LIST(X) \\"]
    out += ["    X(%s, %d, \"%s\") \\" % m for m in enums["status"]]
    out[-1] = out[-1][:-2]
    return "\n".join(out + ["", "#endif", ""])


# ------------------------------------------------------------------------------------------------ Verilog
def v_header(maps, enums):
    out = ["// SPDX-License-Identifier: Apache-2.0", "// " + HEAD,
           "// Registers: byte offsets. Structures: bit positions (_LSB) and widths (_W) in the little-endian bit string.",
           "`ifndef ESPALIER_CARD_VH", "`define ESPALIER_CARD_VH", ""]
    for name, members in enums.items():
        w = width((HERE / "espalier.rdl").read_text(), name)
        out += ["`define ESPC_%s_%s %d'd%d" % (name.upper(), m, w, v) for m, v, _ in members] + [""]
    bar = maps["bar0"]
    for name, addr, _, _, reg in regs(bar):
        out += v_reg("ESPC_REG_" + name, "ESPC_" + name, addr, reg)
    for rf in regfiles(bar):
        n = rf.inst_name
        out += ["`define ESPC_REG_%s 16'h%04x" % (n, rf.raw_address_offset), "`define ESPC_%s_STRIDE 16'h%04x" % (n, rf.array_stride),
                "`define ESPC_%s_COUNT %d" % (n, rf.array_dimensions[0])]
        for name, addr, _, _, reg in regs(rf):
            out += v_reg("ESPC_%s_%s" % (n, name), "ESPC_%s_%s" % (n, name), addr, reg)
    out.append("")
    for s in STRUCTS:
        out.append("`define ESPC_%s_BYTES %d" % (s.upper(), maps[s].size))
        for n, addr, count, _, reg in regs(maps[s]):
            p = "ESPC_%s_%s" % (s.upper(), n.upper())
            out += ["`define %s_LSB %d" % (p, addr * 8), "`define %s_W %d" % (p, reg.get_property("regwidth") * count),
                    "`define %s_OFFSET %d" % (p, addr)]
            for f in real_fields(reg):
                out += ["`define %s_%s_LSB %d" % (p, f.inst_name, f.low), "`define %s_%s_W %d" % (p, f.inst_name, f.width)]
        out.append("")
    out += ["`endif", ""]
    return "\n".join(out)


def v_reg(macro, fieldprefix, addr, reg):
    out = ["`define %s 16'h%04x" % (macro, addr)]
    for f in real_fields(reg):
        out += ["`define %s_%s_LSB %d" % (fieldprefix, f.inst_name, f.low), "`define %s_%s_W %d" % (fieldprefix, f.inst_name, f.width)]
        if constant(f) is not None:
            out.append("`define %s_%s %d'd%d" % (fieldprefix, f.inst_name, f.width, constant(f)))
    return out


# ------------------------------------------------------------------------------------------------ manual
def manual(maps, enums):
    out = ["# Registers, descriptors, completions", "", HEAD, "",
           "All fields are little-endian. BAR0 is 64 KiB; its registers are 32 bits wide.", "", "## BAR0", ""]
    bar = maps["bar0"]
    out += table([(("0x%04x" % a), n, access(r), text(r), fields(r)) for n, a, _, _, r in regs(bar)],
                 ["offset", "register", "access", "meaning", "fields"])
    for rf in regfiles(bar):
        out += ["### %s: %d at 0x%04x, every 0x%x bytes" % (rf.get_property("name"), rf.array_dimensions[0],
                                                             rf.raw_address_offset, rf.array_stride), "", text(rf), ""]
        out += table([(("0x%02x" % a), n, access(r), text(r), fields(r)) for n, a, _, _, r in regs(rf)],
                     ["offset", "register", "access", "meaning", "fields"])
    for s in STRUCTS:
        out += ["## " + maps[s].get_property("name"), "", text(maps[s]), ""]
        out += table([("0x%03x" % a, n, str(r.get_property("regwidth") // 8 * c), text(r), fields(r))
                      for n, a, c, _, r in regs(maps[s])], ["offset", "field", "bytes", "meaning", "bits"])
    for name, members in enums.items():
        out += ["## Values of `%s`" % name, ""]
        out += table([(str(v), m, d) for m, v, d in members], ["value", "name", "meaning"])
    return "\n".join(out)


def access(reg):
    kinds = {(f.is_sw_readable, f.is_sw_writable) for f in reg.fields()}
    return {(True, False): "r", (False, True): "w"}.get(next(iter(kinds)) if len(kinds) == 1 else None, "rw")


def fields(reg):
    parts = []
    for f in reg.fields():
        enc = f.get_property("encode")
        if f.inst_name == "VALUE":
            parts += ["values of `%s`" % enc.type_name] if enc else []
        else:
            bits = "%d" % f.low if f.width == 1 else "%d:%d" % (f.high, f.low)
            parts.append("%s %s%s" % (bits, f.inst_name, (": " + text(f)) if text(f) else ""))
    return "<br>".join(parts)


def table(rows, head):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def digests(files):
    """In the format of sha256sum -c, from the root of the repository."""
    sources = [(HERE / n, (HERE / n).read_text()) for n in ("espalier.rdl", "gen.py")]
    made = [((HERE / "gen" / n).resolve(), body) for n, body in files.items()]
    root = HERE.parent.parent
    return "".join("%s  %s\n" % (hashlib.sha256(body.encode()).hexdigest(), path.relative_to(root)) for path, body in sources + made)


def main():
    args = sys.argv[1:]
    check = "--check" in args
    outdir = pathlib.Path(next((a for a in args if not a.startswith("-")), HERE / "gen"))
    maps, enums = load()
    files = {"espalier_card.h": c_header(maps, enums), "espalier_card.vh": v_header(maps, enums),
             "registers.md": manual(maps, enums), "../../../driver/include/espalier/status.h": status_header(enums)}
    files["digests"] = digests(files)
    bad = 0
    for name, body in files.items():
        path = outdir / name
        if check and (not path.exists() or path.read_text() != body):
            print("hw/regs: %s does not match espalier.rdl: run `make regs`" % path, file=sys.stderr)
            bad = 1
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
    return bad


if __name__ == "__main__":
    sys.exit(main())

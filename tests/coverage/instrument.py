# SPDX-License-Identifier: Apache-2.0
"""Makes a copy of the project whose RTL tells what it does: instrument.py FOLDER.

Beside every signal of every module (of ports: those that are no wire of the module around it) stand two registers, of the bits that have been seen set and of those that have been seen clear,
at clock edges from 16 cycles after the start on; at the model's end each instance reports them (cover.cpp). Verilator's own toggle
coverage is one counter and one comparison for every bit: the whole card took it minutes to compile and hours to run. Memories' words
are not looked at; what is written to them and read from them is. Lines are counted by Verilator (--coverage-line). What enters and
leaves the two pipelines is told as well: the status of each packet, and how long it was."""
import pathlib
import sys

import verilog
from verilog import Kind

OFF, ON = "/* verilator coverage_off */ /* verilator tracing_off */", "/* verilator tracing_on */ /* verilator coverage_on */"
WORDS = "(($bits({x}) + 31) / 32 * 32)"
IMPORTS = 'import "DPI-C" context function void cover_bits(input string name, input int width, input int word, input int ones, ' \
          'input int zeros); import "DPI-C" context function void cover_lines(); ' \
          'import "DPI-C" context function void cover_packet(input int lanes, input int direction, input int status, input int length);'
# "Seen set" stands inverted: else it would be the key where one key has passed, and the tests look for keys in all of a model's memory.
WATCH = "reg [" + WORDS + "-1:0] cover_1{n} = ~0, cover_0{n} = 0; " \
        "always @(posedge clk) if (cover_on) begin cover_1{n} <= cover_1{n} & ~{x}; cover_0{n} <= cover_0{n} | ~{x}; end " \
        "final for (int cover_i = 0; cover_i < " + WORDS + " / 32; cover_i++) " \
        'cover_bits("{m} {s}", $bits({x}), cover_i, ~cover_1{n}[32 * cover_i +: 32], cover_0{n}[32 * cover_i +: 32]);'
# what a test drives at its ports
TOPS = ("gcm_core", "esp_rx", "esp_pipe", "espalier_top")
# a part that is in every model reports the lines of the whole
LINES = ("gcm_core",)
# packets leave in the order in which they came; there are never 256 inside
PACKETS = "reg [15:0] cover_len [0:255]; reg [7:0] cover_in = 0, cover_out = 0; reg cover_first = 1; always @(posedge clk) begin " \
          "if (s_{d}_tvalid && s_{d}_tready) begin cover_first <= s_{d}_tlast; " \
          "if (cover_first) begin cover_len[cover_in] <= s_{d}_len; cover_in <= cover_in + 1; end end " \
          "if (m_{d}_tvalid && m_{d}_tready && m_{d}_tlast) begin " \
          "cover_packet(LANES, {n}, {{16'd0, m_{d}_status}}, {{16'd0, cover_len[cover_out]}}); cover_out <= cover_out + 1; end " \
          "if (rst) begin cover_in <= 0; cover_out <= 0; cover_first <= 1; end end"
PIPELINES = {"esp_tx": ("enc", 0), "esp_rx": ("dec", 1)}


def watch(module, scope, signal):
    return WATCH.format(x=signal, n="_" + signal, m=module, s=".".join([*scope, signal]))


def declared(node):
    """Names of a declaration's signals, without memories, variables of loops and parameters."""
    if node.kind == Kind.DataDeclaration and node.type.kind in (Kind.IntegerType, Kind.TimeType):
        return []
    if node.kind not in (Kind.DataDeclaration, Kind.NetDeclaration):
        return []
    return [d.name.valueText for d in verilog.children(node) if d.kind == Kind.Declarator and not list(d.dimensions)]


def inside(source, module, node, scope):
    """Signals declared in a module's body or in one of its generate blocks."""
    for member in verilog.children(node):
        names = declared(member)
        if names:
            where = source.span(member)
            if where:
                source.put(where[1], f" {OFF} " + " ".join(watch(module, scope, n) for n in names) + f" {ON}")
        elif member.kind == Kind.GenerateBlock:
            label = member.beginName.name.valueText if member.beginName else ""
            inside(source, module, member, [*scope, label] if label else scope)
        elif member.kind in (Kind.GenerateRegion, Kind.LoopGenerate, Kind.IfGenerate, Kind.CaseGenerate, Kind.ElseClause):
            inside(source, module, member, scope)


def wired(found):
    """Ports that are a wire of the module around them wherever that stands, as {(module, port)}: their bits are counted there."""
    plain, other = set(), set()
    for source in found:
        for module in source.modules():
            connections(source, module, plain, other)
    return {at for at in plain - other if at[0] not in TOPS}


def connections(source, node, plain, other):
    for child in verilog.children(node):
        if child.kind == Kind.HierarchyInstantiation:
            for port in (p for i in verilog.children(child) for p in verilog.children(i) if p.kind == Kind.NamedPortConnection):
                name = port.expr
                while name is not None and name.kind not in (Kind.IdentifierName, Kind.ParenthesizedExpression) and \
                        len(verilog.children(name)) == 1:
                    name = verilog.children(name)[0]
                where = plain if name is not None and name.kind == Kind.IdentifierName else other
                where.add((child.type.valueText, port.name.valueText))
        else:
            connections(source, child, plain, other)


def instrument(source, module, clockless, counted):
    name = verilog.name_of(module)
    ports = [p.declarator.name.valueText for p in verilog.children(module.header.ports) if p.kind == Kind.ImplicitAnsiPort]
    body = source.span(module.header)[1]
    text = f" {OFF} {IMPORTS} reg [4:0] cover_n = 0; wire cover_on = cover_n[4]; " \
           "always @(posedge clk) if (!cover_on) cover_n <= cover_n + 1;"
    text += "".join(" " + watch(name, [], p) for p in ports if p != "clk" and (name, p) not in counted)
    if name in LINES:
        text += " final cover_lines();"
    if name in PIPELINES:
        direction, number = PIPELINES[name]
        text += " " + PACKETS.format(d=direction, n=number)
    source.put(body, f"{text} {ON}")
    if name in clockless:
        source.put(source.span(module.header.ports)[0] + 1, "input wire clk, ")
    inside(source, name, module, [])
    instances(source, module, clockless)


def instances(source, node, clockless):
    for child in verilog.children(node):
        if child.kind == Kind.HierarchyInstantiation and child.type.valueText in clockless:
            for instance in verilog.children(child):
                if instance.kind == Kind.HierarchicalInstance:
                    at = source.text.index("(", source.span(instance)[0])
                    source.put(at + 1, ".clk(clk), ")
        else:
            instances(source, child, clockless)


def main():
    found = verilog.sources()
    clockless = set()
    for source in found:
        for module in source.modules():
            ports = [p.declarator.name.valueText for p in verilog.children(module.header.ports) if p.kind == Kind.ImplicitAnsiPort]
            if "clk" not in ports:
                clockless.add(verilog.name_of(module))
    counted = wired(found)
    for source in found:
        for module in source.modules():
            instrument(source, module, clockless, counted)
    verilog.tree(pathlib.Path(sys.argv[1]), {s.path: s.written() for s in found})


if __name__ == "__main__":
    main()

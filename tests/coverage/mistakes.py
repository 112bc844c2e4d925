# SPDX-License-Identifier: Apache-2.0
"""The mistakes that can be made in rtl/, found with slang, and a copy of the RTL that has many of them at once: each stands behind
`mutant_ == its number`, which every module takes from the environment (mutant.h) when its model starts, so that one build serves
them all and a run makes one of them, or with 0 none.

Left alone is what a running model cannot change: parameters and localparams where they are declared, widths where they are declared,
conditions of generate blocks, bounds of loops, initial contents of memories; so are the left sides of assignments."""
import re

import verilog
from verilog import Kind, syntax

KINDS = ("operator", "term", "constant", "width", "select", "condition", "enable", "loss")
OPERATORS = {"==": "!=", "!=": "==", "&&": "||", "||": "&&", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+", "&": "|", "|": "&",
             "^": "|", "<<": ">>", ">>": "<<", "*": "+"}
NEUTRAL = {"&&": "1'b1", "||": "1'b0"}
# what is worked out before the model runs
STATIC = (Kind.ParameterDeclarationStatement, Kind.ParameterValueAssignment, Kind.VariableDimension, Kind.InitialBlock, Kind.GenvarDeclaration,
          Kind.FunctionPrototype, Kind.TimingControlStatement, Kind.StringLiteralExpression)
PROBE = ' reg [31:0] mutant_; initial mutant_ = $c32("mutant_of_this_run()");'


class Mistake:
    """One place and what becomes of it: the text from `start` to `end`, and `new` instead."""

    def __init__(self, source, kind, start, end, new, statement=False):
        self.source, self.kind, self.start, self.end, self.statement = source, kind, start, end, statement
        self.was, self.new = bare(source.text[start:end]), new
        self.file, self.line = source.path, source.line(start)

    def text(self):
        """The whole file with this mistake alone."""
        return self.source.text[:self.start] + self.new + self.source.text[self.end:]

    def named(self):
        """How it is named in a list that lines may move under: the file, its line, what it was, what it became."""
        line = self.source.text.splitlines()[self.line - 1].strip()
        return f"{self.file}: {line}: {' '.join(self.was.split())} => {' '.join(self.new.split())}"


def bare(text):
    return re.sub(r"/\*.*?\*/", " ", re.sub(r"//[^\n]*", "", text), flags=re.S).replace("\n", " ")


class Finder:
    """Walks one module, or the functions of one included file."""

    def __init__(self, source):
        self.source, self.found, self.constants, self.early = source, [], set(), set()

    def add(self, kind, node, new, **more):
        where = self.source.span(node)
        if where and where[1] > where[0] and "`" not in self.source.text[where[0]:where[1]]:
            self.found.append(Mistake(self.source, kind, *where, bare(new), **more))

    def text(self, node):
        where = self.source.span(node)
        return bare(self.source.text[where[0]:where[1]]).strip() if where else ""

    def called_early(self, node, inside=False):
        """Functions that a parameter's value needs."""
        inside = inside or node.kind == Kind.ParameterDeclarationStatement or \
            (node.kind == Kind.FunctionDeclaration and self.text(node.prototype.name) in self.early)
        if inside and node.kind == Kind.InvocationExpression:
            self.early.add(self.text(node.left))
        for child in verilog.children(node):
            self.called_early(child, inside)

    def walk(self, node, lvalue=False, port=False):
        if self.source.span(node) is None:
            return
        if node.kind == Kind.ParameterDeclarationStatement:
            self.constants |= {d.name.valueText for d in verilog.children(node.parameter) if d.kind == Kind.Declarator}
        if node.kind == Kind.TimingControlStatement:
            self.walk(node.statement)
        elif node.kind in STATIC or (node.kind == Kind.FunctionDeclaration and self.text(node.prototype.name) in self.early):
            return
        elif node.kind == Kind.Declarator and node.name.valueText.startswith("unused"):
            return # keeps lint quiet, and nothing else reads it
        elif node.kind == Kind.ForLoopStatement:
            self.walk(node.statement)
        elif node.kind in (Kind.LoopGenerate, Kind.IfGenerate, Kind.CaseGenerate):
            for child in verilog.children(node):
                if child.kind in (Kind.GenerateBlock, Kind.ElseClause):
                    self.walk(child)
        elif node.kind == Kind.MultipleConcatenationExpression:
            self.walk(node.concatenation, lvalue, port)
        elif node.kind == Kind.ElementSelect:
            self.index(node)
        elif node.kind == Kind.NamedPortConnection:
            if node.expr is not None:
                self.walk(node.expr, port=True)
        else:
            self.mistakes(node, lvalue, port)
            self.below(node, lvalue, port)

    def below(self, node, lvalue, port):
        if node.kind in (Kind.AssignmentExpression, Kind.NonblockingAssignmentExpression):
            self.walk(node.right)
            return
        for child in verilog.children(node):
            # beside its name a call, and beside its predicate a condition, holds expressions as they are anywhere
            self.walk(child, lvalue, port and node.kind in (Kind.ConcatenationExpression, Kind.SimplePropertyExpr, Kind.SimpleSequenceExpr))

    def index(self, node):
        """Of a select only a single index, and where an indexed part starts, may change in a running model."""
        for child in verilog.children(node):
            if child.kind == Kind.BitSelect:
                self.below(child, False, False)
            elif child.kind in (Kind.AscendingRangeSelect, Kind.DescendingRangeSelect):
                self.walk(child.left)

    def mistakes(self, node, lvalue, port):
        text = self.text
        if isinstance(node, syntax.BinaryExpressionSyntax) and node.kind not in (Kind.AssignmentExpression, Kind.NonblockingAssignmentExpression):
            op, left, right = node.operatorToken.valueText, text(node.left), text(node.right)
            if op in OPERATORS:
                self.add("operator", node, f"{left} {OPERATORS[op]} {right}")
            if op in NEUTRAL:
                self.add("term", node, f"({left}) {op} {NEUTRAL[op]}")
                self.add("term", node, f"({right}) {op} {NEUTRAL[op]}")
        elif node.kind == Kind.UnaryLogicalNotExpression:
            self.add("operator", node, f"!({text(node)})")
        elif node.kind == Kind.UnaryBitwiseNotExpression:
            self.add("operator", node, text(node.operand))
        elif node.kind in (Kind.UnaryBitwiseAndExpression, Kind.UnaryBitwiseOrExpression):
            self.add("operator", node, ("|" if node.kind == Kind.UnaryBitwiseAndExpression else "&") + text(node.operand))
        elif node.kind == Kind.IntegerVectorExpression:
            self.literal(node)
        elif node.kind == Kind.IdentifierName and not port and text(node) in self.constants:
            self.add("constant", node, f"({text(node)} ^ 1'b1)")
        elif node.kind == Kind.IdentifierSelectName and not port and not lvalue:
            self.select(node)
        elif node.kind in (Kind.ConditionalStatement, Kind.ConditionalExpression):
            was = text(node.predicate)
            self.add("condition", node.predicate, f"!({was})")
            self.add("enable", node.predicate, "1'b1")
            self.add("enable", node.predicate, "1'b0")
        elif node.kind == Kind.ExpressionStatement and node.expr.kind in (Kind.AssignmentExpression, Kind.NonblockingAssignmentExpression):
            self.add("loss", node, ";", statement=True)
        self.width(node)

    def width(self, node):
        """What is assigned loses its top bit."""
        if node.kind in (Kind.AssignmentExpression, Kind.NonblockingAssignmentExpression) and node.operatorToken.valueText in ("=", "<="):
            to, value = self.text(node.left), node.right
        elif node.kind == Kind.Declarator and node.initializer is not None:
            to, value = node.name.valueText, node.initializer.expr
        else:
            return
        constant = value.kind in (Kind.IntegerVectorExpression, Kind.StringLiteralExpression) or self.text(value) in self.constants
        if "{" not in to and not constant:
            self.add("width", value, f"({self.text(value)}) & ~(1'b1 << ($bits({to}) - 1))")

    def literal(self, node):
        found = re.fullmatch(r"(\d+)'([dhb])([0-9a-fA-F_]+)", self.text(node))
        if found:
            bits, base = int(found[1]), found[2]
            value = (int(found[3].replace("_", ""), {"d": 10, "h": 16, "b": 2}[base]) + 1) % (1 << bits)
            self.add("constant", node, f"{bits}'{base}{value:{'d' if base == 'd' else 'x' if base == 'h' else 'b'}}")

    def select(self, node):
        last = verilog.children(node)[-1]
        inner = verilog.children(last)
        if inner and inner[0].kind in (Kind.SimpleRangeSelect, Kind.AscendingRangeSelect, Kind.DescendingRangeSelect):
            self.add("select", node, f"({self.text(node)} >> 1)")


def every():
    """All mistakes of all files, in the order of their places."""
    found = []
    for source in verilog.sources() + [verilog.Source("rtl/ghash/ghash_fn.vh")]:
        finder = Finder(source)
        modules = source.modules()
        for module in modules * 3: # functions of functions
            finder.called_early(module)
        for node in [m for module in modules for m in module.members] if modules else [source.tree.root]:
            if isinstance(node, syntax.SyntaxNode):
                finder.walk(node) if modules else finder.below(node, False, False)
        found += finder.found
    return found


def copy(folder, chosen):
    """The project in `folder` with the chosen mistakes, numbered from 1 in their order."""
    found = {}
    for number, mistake in enumerate(chosen, 1):
        found.setdefault(mistake.file, (mistake.source, []))[1].append((number, mistake))
    texts = {}
    for source in verilog.sources():
        source = found.get(source.path, (source, []))[0]
        probes = [(source.span(m.header)[1], PROBE) for m in source.modules()]
        texts[source.path] = placed(source.text, found.get(source.path, (source, []))[1], probes)
    for path, (source, some) in found.items():
        texts.setdefault(path, placed(source.text, some, []))
    verilog.tree(folder, texts)


def placed(text, mistakes, probes):
    """Text with every mistake behind its number; of those that stand in one another the outer one holds the inner one."""
    puts = [(at, 0, 0, probe) for at, probe in probes]
    for number, m in mistakes:
        length = m.end - m.start
        before, after = (f"begin if (mutant_ != {number}) ", " end") if m.statement else (f"(mutant_ == {number} ? ({m.new}) : (", "))")
        # what ends at a place comes before what begins there; inner ends first, outer begins first
        puts += [(m.start, 2, (-length, number), before), (m.end, 1, (length, -number), after)]
    out, at = [], 0
    for place, _, _, put in sorted(puts, key=lambda p: (p[0], p[1], p[2] if p[2] else (0, 0))):
        out += [text[at:place], put]
        at = place
    return "".join(out) + text[at:]

# SPDX-License-Identifier: Apache-2.0
"""Reads the RTL with slang and writes copies of it with something put in or replaced: no line is added or moved, so whatever
speaks of a copy's line speaks of the source's."""
import pathlib
import shutil

import pyslang
from pyslang import syntax

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDES = (".", "rtl/ghash", "rtl/aes")
Kind = syntax.SyntaxKind


class Source:
    """One file of rtl/: its tree, and the changes to be made."""

    def __init__(self, path):
        self.path = path
        self.text = (ROOT / path).read_text(encoding="utf-8")
        self.manager = pyslang.SourceManager()
        for folder in INCLUDES:
            self.manager.addUserDirectories(str(ROOT / folder))
        self.tree = syntax.SyntaxTree.fromFile(str(ROOT / path), self.manager)
        if list(self.tree.diagnostics):
            raise SystemExit(f"{path}: slang does not understand it")
        self.edits = []

    def span(self, node):
        """Where a node stands in the file: (start, end); None where it comes out of an included file."""
        start, end = node.sourceRange.start, node.sourceRange.end
        if self.manager.isIncludedFileLoc(self.manager.getFullyExpandedLoc(start)):
            return None
        if self.manager.isMacroLoc(start):
            start = self.manager.getExpansionRange(start).start
        if self.manager.isMacroLoc(end):
            end = self.manager.getExpansionRange(end).end
        return start.offset, end.offset

    def line(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def modules(self):
        root = self.tree.root
        members = root.members if root.kind == Kind.CompilationUnit else [root]
        return [m for m in members if isinstance(m, syntax.SyntaxNode) and m.kind == Kind.ModuleDeclaration]

    def put(self, offset, text):
        self.edits.append((offset, offset, text))

    def replace(self, start, end, text):
        self.edits.append((start, end, text))

    def written(self):
        out, at = [], 0
        for start, end, text in sorted(self.edits, key=lambda e: e[:2]):
            out += [self.text[at:start], text.replace("\n", " ")]
            at = end
        return "".join(out) + self.text[at:]


def children(node):
    return [c for c in node if isinstance(c, syntax.SyntaxNode)]


def sources():
    return [Source(str(p.relative_to(ROOT))) for p in sorted((ROOT / "rtl").glob("*/*.v"))]


def name_of(module):
    return module.header.name.valueText


def tree(folder, changed):
    """A copy of the project under `folder`: rtl/ as `changed` says ({path: text}), everything else by links. What is there already
    and the same stays untouched, so that nothing is built twice."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in ("Makefile", "ctrl", "driver", "hw", "sim", "tests"):
        link = folder / entry
        if not link.is_symlink():
            link.symlink_to(ROOT / entry)
    wanted = {}
    for path in sorted((ROOT / "rtl").rglob("*")):
        if path.is_file():
            wanted[folder / path.relative_to(ROOT)] = path.read_bytes()
    for path, text in changed.items():
        wanted[folder / path] = text.encode()
    for path in sorted((folder / "rtl").rglob("*"), reverse=True):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, data in wanted.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def clear(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

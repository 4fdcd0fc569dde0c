"""What Python source defines and imports, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from muster.model.record import Record

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
Def = ast.FunctionDef | ast.AsyncFunctionDef


class Function(Record, frozen=True):
    """A function or method with its qualified name and the class it stands in."""

    name: str
    node: Def
    owner: ast.ClassDef | None = None

    @property
    def is_public(self) -> bool:
        """Whether no part of its name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))


class Import(Record, frozen=True):
    """A module that is imported; soft when the program goes on without it."""

    module: str
    line: int
    soft: bool


def functions(tree: ast.AST, prefix: str = "", owner: ast.ClassDef | None = None) -> Iterator[Function]:
    """The functions of a module and of its classes, not those inside of functions."""
    for node in getattr(tree, "body", ()):
        if isinstance(node, Def):
            yield Function(name=f"{prefix}{node.name}", node=node, owner=owner)
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.", node)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for block in ("body", "orelse", "finalbody"):
                yield from functions(ast.Module(body=getattr(node, block, []), type_ignores=[]), prefix, owner)


def docstring_of(node: Def | ast.ClassDef) -> str:
    """The docstring of a function or class as it is written; empty without one."""
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return text
        case _:
            return ""


def imports(tree: ast.AST, soft: bool = False) -> Iterator[Import]:
    """Every absolute import of a module, wherever it stands; soft where the program may go on without it."""
    for block in _BLOCKS:
        for node in getattr(tree, block, ()):
            match node:
                case ast.Import(names=names):
                    yield from (Import(module=name.name, line=node.lineno, soft=soft) for name in names)
                case ast.ImportFrom(module=str() as module, level=0):
                    yield Import(module=module, line=node.lineno, soft=soft)
                case ast.Try(handlers=handlers):
                    yield from imports(node, soft or (bool(handlers) and _forgives(handlers)))
                case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                    yield from imports(node, True)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    # Who imports inside of a function can do without, until the function is called.
                    yield from imports(node, True)
                case ast.If() | ast.With() | ast.ClassDef() | ast.For() | ast.While() | ast.ExceptHandler():
                    yield from imports(node, soft)
                case ast.Match() | ast.match_case() | ast.AsyncWith() | ast.AsyncFor():
                    yield from imports(node, soft)
                case _:
                    pass


def _forgives(handlers: list[ast.ExceptHandler]) -> bool:
    kinds = " ".join(ast.unparse(handler.type) if handler.type else "Exception" for handler in handlers)
    return "ImportError" in kinds or "ModuleNotFoundError" in kinds or "Exception" in kinds

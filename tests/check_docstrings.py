"""Where arrays pass, a docstring says their dtype and shape: `uint64[n]`, `int64[height, width]`, `bool[frames]`.

Judged are, by their syntax tree alone, public functions and methods of pagingviz/ whose annotations name an array, fields
of public classes that are arrays (their text stands in the docstring of the class or beside the field), and in core/
every kernel that reads or writes elements of a parameter which is none of the usual ones (core/__init__.py explains those).
`python tests/check_docstrings.py` prints what is missing, one line each, and exits 1 if anything is.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "pagingviz"
SHAPE = re.compile(r"\b(?:bool|u?int(?:8|16|32|64)|float64|object|[A-Z_]+)\[[^\]]+\]")
ARRAY = re.compile(r"\b(?:ndarray|NDArray|recarray)\b")
USUAL = frozenset({"s", "c", "a", "cpus", "r"})
# Files (and rooms) that are not judged yet. This list only ever gets shorter.
NOT_YET = (
    "boards/payload.py",
    "boards/plans.py",
    "boards/sheet.py",
    "core/score.py",
    "player/player.py",
    "scenario/frames.py",
    "ui/figures.py",
    "work/",
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters(function: Function) -> list[ast.arg]:
    """Every parameter of a function, in their order."""
    of = function.args
    star = [arg for arg in (of.vararg, of.kwarg) if arg]
    return [*of.posonlyargs, *of.args, *of.kwonlyargs, *star]


def names_an_array(annotation: ast.expr | None) -> bool:
    """True if an annotation names numpy's array type, alone or inside another type."""
    return annotation is not None and bool(ARRAY.search(ast.unparse(annotation)))


def arrays_of_a_kernel(kernel: Function) -> set[str]:
    """Parameters of a kernel that it takes elements of, without the usual ones."""
    names = {arg.arg for arg in parameters(kernel)} - USUAL
    taken = (node.value for node in ast.walk(kernel) if isinstance(node, ast.Subscript))
    return {value.id for value in taken if isinstance(value, ast.Name) and value.id in names}


def arrays_of(function: Function, in_core: bool) -> list[str]:
    """What of a function's parameters and result is an array, by name."""
    found = {arg.arg for arg in parameters(function) if names_an_array(arg.annotation)}
    if in_core:
        found |= arrays_of_a_kernel(function)
    return sorted(found) + ["its result"] * names_an_array(function.returns)


def functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Public functions of a module, and public methods of its public classes."""
    for node in body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body)


def fields(body: list[ast.stmt]) -> Iterator[tuple[ast.ClassDef, ast.AnnAssign]]:
    """Fields of a module's public classes that are arrays."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and names_an_array(statement.annotation):
                    yield node, statement


def problems(path: Path, in_core: bool) -> list[str]:
    """What is missing in one file, a line each; empty when nothing is."""
    text = path.read_text()
    lines, body = text.splitlines(), ast.parse(text).body
    out = []
    for function in functions(body):
        arrays = arrays_of(function, in_core)
        if arrays and not SHAPE.search(ast.get_docstring(function) or ""):
            out.append(f"{path}:{function.lineno}: {function.name}: no dtype and shape for {', '.join(arrays)}")
    for owner, field in fields(body):
        beside = "\n".join(lines[field.lineno - 1 : field.end_lineno])
        name, text = ast.unparse(field.target), ast.get_docstring(owner) or ""
        described = re.search(rf"\b{name}\b", text) and SHAPE.search(text)
        if not described and not SHAPE.search(beside.partition("#")[2]):
            out.append(f"{path}:{field.lineno}: {owner.name}.{name}: no dtype and shape")
    return out


def main() -> int:
    """Print every problem of the package; 1 if there is one."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NOT_YET):
            found += problems(path, name.startswith("core/"))
    print("\n".join(found) or "Every docstring says the shapes of its arrays.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

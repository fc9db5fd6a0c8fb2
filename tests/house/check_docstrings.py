"""Where arrays pass, a docstring says their dtype and shape: `uint64[n]`, `int64[height, width]`, `bool[frames]`.

Judged are, by their syntax tree alone, public functions and methods of pagingviz/ whose annotations name an array, fields
of public classes that are arrays (their text stands in the docstring of the class or beside the field), and in core/
every kernel that reads or writes elements of a parameter which is none of the usual ones (core/__init__.py explains those).
A method without a docstring does what that of its protocol or base class says, and is judged by it.
`python -m tests.house.check_docstrings` prints what is missing, one line each, and exits 1 if anything is.
"""

import ast
import re
import sys
from collections.abc import Iterator, Set
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "pagingviz"
SHAPE = re.compile(r"\b(?:bool|intp?|u?int(?:8|16|32|64)|float64|str|[A-Z_]+)\[[^\]]+\]")
ARRAY = re.compile(r"\b(?:ndarray|NDArray|recarray)\b")
USUAL = frozenset({"s", "c", "a", "cpus", "r"})
# Files (and rooms) that are not judged yet. This list only ever gets shorter.
NOT_YET = (
    "scenario/frames.py",
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


def inherited(bodies: list[list[ast.stmt]]) -> set[str]:
    """Names of the methods that a protocol or a base class of these modules describes with shapes."""
    classes = [node for body in bodies for node in body if isinstance(node, ast.ClassDef)]
    bases = {base.id for node in classes for base in node.bases if isinstance(base, ast.Name)}
    over = [node for node in classes if node.name in bases or "Protocol" in map(ast.unparse, node.bases)]
    return {method.name for node in over for method in functions(node.body) if SHAPE.search(ast.get_docstring(method) or "")}


def problems(path: Path, in_core: bool, elsewhere: Set[str] = frozenset()) -> list[str]:
    """What is missing in one file, a line each; empty when nothing is. `elsewhere`: methods described by protocols."""
    text = path.read_text()
    lines, body = text.splitlines(), ast.parse(text).body
    out = []
    for function in functions(body):
        arrays, docstring = arrays_of(function, in_core), ast.get_docstring(function)
        is_method = bool(function.args.args) and function.args.args[0].arg == "self"
        if docstring is None and is_method and function.name in elsewhere:
            continue
        if arrays and not SHAPE.search(docstring or ""):
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
    paths = sorted(PACKAGE.rglob("*.py"))
    elsewhere = inherited([ast.parse(path.read_text()).body for path in paths])
    for path in paths:
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NOT_YET):
            found += problems(path, name.startswith("core/"), elsewhere)
    print("\n".join(found) or "Every docstring says the shapes of its arrays.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""The names of the tests in a file, read from its text: no test imports another."""

import ast
import functools
from pathlib import Path

TESTS = Path(__file__).parents[1]


def named_tests(*files: str) -> list[str]:
    """Names of the test functions in files of tests/, in their order. A file is given as `room/name`, without its ending."""
    trees = [ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8")) for file in files]
    return [
        node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@functools.cache
def all_tests() -> frozenset[str]:
    """Names of all test functions."""
    files = (path.relative_to(TESTS).with_suffix("").as_posix() for path in TESTS.rglob("test_*.py"))
    return frozenset(named_tests(*files))

"""The names of the tests in a file, read from its text: no test imports another."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def named_tests(*files: str) -> list[str]:
    """Names of the test functions in these files of tests/, given without their ending, in the order of the files."""
    trees = [ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8")) for file in files]
    return [
        node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]

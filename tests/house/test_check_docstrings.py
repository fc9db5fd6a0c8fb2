"""The check of docstrings finds what it is for, and nothing else."""

import ast

import pytest

from tests.house import check_docstrings

WITHOUT = {
    "an argument": "def f(rows: np.ndarray) -> int:\n    'The sum.'\n",
    "an argument inside another type": "def f(rows: list[npt.NDArray[np.uint64]] | None) -> int:\n    'The sum.'\n",
    "a result": "def f(n: int) -> np.ndarray:\n    'The first n.'\n",
    "no docstring": "def f(n: int) -> np.ndarray: return g(n)\n",
    "a method": "class C:\n    @property\n    def f(self) -> np.ndarray:\n        'Its rows.'\n",
    "a field beside another": "class C:\n    'Rows: g, bool[frames].'\n    f: np.ndarray\n",
    "a field": "class C:\n    'Rows.'\n    f: np.ndarray\n",
}
ENOUGH = {
    "an argument": "def f(rows: np.ndarray) -> int:\n    'The sum of `rows`, uint64[n].'\n",
    "two dimensions": "def f(n: int) -> np.ndarray:\n    'int64[height, width], in pages.'\n",
    "a private function": "def _f(rows: np.ndarray) -> int: return 1\n",
    "a function inside another": "def f() -> int:\n    def g(rows: np.ndarray) -> int: return 1\n    return 1\n",
    "a field, in the class": "class C:\n    'Rows: f, bool[frames].'\n    f: np.ndarray\n",
    "a field, beside it": "class C:\n    'Rows.'\n    f: np.ndarray  # bool[frames]\n",
    "no array": "def f(rows: list[int]) -> int: return rows[0]\n",
}
KERNEL = "def f(s, c, a, rows):\n    'Sums them.'\n    a[s.o_p2m] = rows[0]\n"


def missing(tmp_path, text: str, in_core: bool = False) -> list[str]:
    """The problems of a file with this text."""
    path = tmp_path / "module.py"
    path.write_text(text)
    return check_docstrings.problems(path, in_core)


@pytest.mark.parametrize("case", WITHOUT)
def test_a_missing_shape_is_found(tmp_path, case):
    assert len(missing(tmp_path, WITHOUT[case])) == 1


@pytest.mark.parametrize("case", ENOUGH)
def test_a_shape_is_enough(tmp_path, case):
    assert missing(tmp_path, ENOUGH[case]) == []


def test_a_kernel_that_takes_elements_of_an_unusual_array_must_describe_it(tmp_path):
    assert missing(tmp_path, KERNEL, in_core=True) == [f"{tmp_path}/module.py:1: f: no dtype and shape for rows"]
    assert missing(tmp_path, KERNEL) == []
    assert missing(tmp_path, KERNEL.replace("them", "rows, uint64[n]"), in_core=True) == []
    assert missing(tmp_path, KERNEL.replace("rows[0]", "s.rows[0]"), in_core=True) == []


def test_a_method_may_be_described_by_its_protocol(tmp_path):
    text = "class C:\n    def f(self) -> np.ndarray:\n        return 1\n"
    protocol = "class P(Protocol):\n    def f(self) -> np.ndarray:\n        'uint64[n]'\n"
    assert check_docstrings.inherited([ast.parse(protocol).body]) == {"f"}
    path = tmp_path / "module.py"
    path.write_text(text)
    assert check_docstrings.problems(path, False, {"f"}) == []
    assert len(check_docstrings.problems(path, False)) == 1


def test_the_package_passes(capsys):
    assert check_docstrings.main() == 0, capsys.readouterr().out

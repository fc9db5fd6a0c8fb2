"""Steps of a migration change nothing: they yield effects, and run.py alone carries them out."""

import ast
import dataclasses
from pathlib import Path

import pytest

from pagingviz.migration import effects

RULES = ("ending", "stall", "policy", "postcopy", "precopy", "remus", "rounds", "send", "steps")


def root_of(node):
    """The name at the beginning of a chain such as now.state.rounds[-1].sent."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def assigned(function):
    """What a function assigns to, but for plain local names: (root, text)."""
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        for target in targets:
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                yield root_of(target), ast.unparse(target)


@pytest.mark.parametrize("name", RULES)
def test_a_step_assigns_to_nothing_that_it_was_given(name):
    tree = ast.parse((Path(effects.__file__).parent / f"{name}.py").read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        given = {arg.arg for arg in function.args.args} | {"st", "m", "r"}  # parts of what was given
        assert [text for root, text in assigned(function) if root in given] == [], function.name


def test_every_effect_is_a_frozen_value():
    groups = {effects.Effect, *effects.Effect.__subclasses__()}
    leaves = [kind for kind in vars(effects).values() if isinstance(kind, type) and issubclass(kind, effects.Effect)]
    leaves = [kind for kind in leaves if not kind.__subclasses__()]
    assert len(leaves) > 20 and all(kind.__dataclass_params__.frozen for kind in leaves)
    assert all(dataclasses.is_dataclass(kind) != (kind.__name__.endswith("Effect")) for kind in (*groups, *leaves))

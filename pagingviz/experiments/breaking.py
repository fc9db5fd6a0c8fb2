"""Ways to break a rule on purpose, while kernels run as plain Python: a compiled one cannot be replaced."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pagingviz.arch.words import ZERO

Kernel = Callable[..., Any]
Mutate = Callable[[Kernel], Kernel]
ROOMS = ("pagingviz.core", "pagingviz.migration")


@contextlib.contextmanager
def broken(owner: Any, name: str, mutate: Mutate) -> Iterator[None]:
    """`mutate(kernel)` instead of the kernel `owner.name` wherever engine and migration use it; the audit keeps the true one.

    owner: a module of ROOMS, or a class, whose method then is another one for all its objects.
    """
    kernel = getattr(owner, name)
    mutant = mutate(kernel)
    rooms = [room for path, room in list(sys.modules.items()) if path.startswith(ROOMS) and ".audit" not in path]
    places: list[tuple[Any, str]] = [(owner, name)] if isinstance(owner, type) else []
    places += [(room, key) for room in rooms for key, value in vars(room).items() if value is kernel]
    for room, key in places:
        setattr(room, key, mutant)
    try:
        yield
    finally:
        for room, key in places:
            setattr(room, key, kernel)


def skip(_kernel: Kernel) -> Kernel:
    """Nothing instead of the kernel."""
    return lambda *_: ZERO


def refuse(_kernel: Kernel) -> Kernel:
    """Nothing instead of the kernel, which says so."""
    return lambda *_: False


def without(owner: Any, name: str, instead: Mutate = skip) -> Mutate:
    """The kernel, with `owner.name` doing nothing meanwhile, or what `instead` makes of it."""

    def mutate(kernel: Kernel) -> Kernel:
        def mutant(*arguments: Any) -> Any:
            with broken(owner, name, instead):
                return kernel(*arguments)

        return mutant

    return mutate


def given(change: Kernel) -> Mutate:
    """The kernel with its arguments changed."""
    return lambda kernel: lambda *arguments: kernel(*change(*arguments))


def afterwards(act: Kernel) -> Mutate:
    """The kernel, and then act(*arguments) on top."""

    def mutate(kernel: Kernel) -> Kernel:
        def mutant(*arguments: Any) -> Any:
            answer = kernel(*arguments)
            act(*arguments)
            return answer

        return mutant

    return mutate


def with_register(name: str, value: Any) -> Mutate:
    """The kernel as it is while the register has another value."""

    def mutate(kernel: Kernel) -> Kernel:
        def mutant(s: Any, *arguments: Any) -> Any:
            was, s[name] = s[name], value
            answer = kernel(s, *arguments)
            s[name] = was
            return answer

        return mutant

    return mutate

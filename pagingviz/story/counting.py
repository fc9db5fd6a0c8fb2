"""Numbers with their nouns and verbs: one page is, two pages are. Whatever says how many there are of something says it so."""


def counted(n: int, one: str, many: str = "") -> str:
    """A number and what is counted: "1 page", "2,000 pages". many: the plural, where it is not `one` with an s."""
    return f"{int(n):,} {form(n, one, many)}"


def form(n: int, one: str, many: str = "") -> str:
    """The word that goes with `n` things: form(1, "is", "are") is "is"."""
    return one if n == 1 else many or f"{one}s"


class Number(int):
    """A number for templates: {n} is the number alone, {n:page|pages} with its noun, {n:~is|are} only the word that fits."""

    def __format__(self, spec: str) -> str:
        if "|" not in spec:
            return super().__format__(spec)
        one, _, many = spec.removeprefix("~").partition("|")
        return form(self, one, many) if spec.startswith("~") else counted(self, one, many)


def listed(names: list[str]) -> str:
    """Names in the order of events: "a", "a, then b", "a, then b, c and d"."""
    if len(names) < 3:
        return ", then ".join(names)
    return f"{names[0]}, then {', '.join(names[1:-1])} and {names[-1]}"

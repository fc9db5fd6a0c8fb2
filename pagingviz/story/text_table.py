"""Tables as text, for the command line."""

from collections.abc import Container, Sequence


def text_table(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """The rows as lines. A column is as wide as the longest text in it, and two blanks stand between any two columns.

    `right`: numbers of the columns whose texts end at the same place instead of beginning there. All rows are equally long.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [text.rjust(n) if k in right else text.ljust(n) for k, (text, n) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines

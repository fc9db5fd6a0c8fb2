"""Sizes in words: of memory, of leaves, of what crosses a wire."""

LEAVES = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB", 4: "512 GiB"}  # what one entry of a level covers, 512 entries a table
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def memory(frames: int) -> str:
    """Memory of so many frames of 4 KiB, rounded down to a whole number: 4 KiB, 128 MiB, 64 GiB, 16 PiB."""
    n, unit = frames * 4, 0
    while n >= 1024:
        n, unit = n // 1024, unit + 1
    return f"{n} {_UNITS[unit]}"


def sent(n: int) -> str:
    """So many bytes on a wire, in units of 1000: 512 kB, 3.14 MB."""
    return f"{n / 1e6:,.2f} MB" if n >= 1e6 else f"{n / 1e3:,.0f} kB"

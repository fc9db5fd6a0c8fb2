"""Sizes in words, as every page writes them."""

LEAF_SIZES = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB", 4: "512 GiB"}  # what one entry of a table of that level covers
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def leaf_size(level: int, guest_levels: int = 4) -> str:
    """What a leaf at `level` maps, in tables of so many levels: those of two have leaves of 4 MiB."""
    return "4 MiB" if level == 2 and guest_levels == 2 else LEAF_SIZES[level]


def memory(frames: int) -> str:
    """The memory of so many frames: 128 MiB, 64 GiB, 32 TiB, 16 PiB; what is left beyond a whole unit is not shown."""
    n, unit = frames * 4, 0
    while n >= 1024:
        n, unit = n // 1024, unit + 1
    return f"{n} {_UNITS[unit]}"

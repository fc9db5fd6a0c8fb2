"""Where Linux kernels map all the memory that they have: their PAGE_OFFSET."""

DIRECT_MAPS = {"linux": 0xFFFF880000000000, "linux420": 0xFFFF888000000000}  # of 64-bit kernels: before 4.20, and since
LOWMEM_BASE = 0xC0000000  # where a 32-bit kernel maps its low memory
LOWMEM_FRAMES = 0x38000  # of which it has at most 896 MiB

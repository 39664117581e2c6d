"""How many combinations are tried: enough to find faults, or all of them."""

import os
from zlib import crc32

EVERY_WAY = bool(os.environ.get("TOCSIN_EVERY_WAY"))
"""Try all combinations, as ``just every-way`` does; else what differs is dealt out."""


def dealt(what: str) -> bool:
    """Return one of two ways: evenly for many things, always the same for one."""
    return bool(crc32(what.encode()) % 2)

"""Seeds: every random draw descends from the seed of a run and a name."""

import hashlib


def seed_of(*parts: str | int) -> int:
    """A 31-bit seed from named parts: the only source of randomness there is.

    SHA-256 of the parts, so that the numbers of one cell do not depend on any other cell, nor on the order of work.
    """
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

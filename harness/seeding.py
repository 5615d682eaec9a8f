"""Seeds: every random draw is derived from the seed of a run and a name."""

import hashlib


def seed_of(*parts: str | int) -> int:
    """Derive a 31-bit seed from named parts; every random draw of a run begins here.

    It comes from SHA-256 of the parts, so that the numbers of a cell depend neither on other cells nor on the order of work.

    Parameters
    ----------
    *parts : str or int
        What the seed is for, beginning with the seed of the run or of the cell.
    """
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

"""Some of the malformed inputs of tests/fuzz.py, which reads 2,000 (make fuzz)."""

from collections import Counter

from fuzz import fuzz


def test_malformed_inputs_are_read_or_refused_in_one_line():
    outcomes = fuzz(150, seed=1)
    failures = [entry for entry in outcomes if entry.outcome not in ("read", "refused")]
    assert not failures
    counts = Counter(entry.outcome for entry in outcomes)
    assert min(counts["read"], counts["refused"]) > 20

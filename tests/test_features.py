"""What a frozen function makes of rows is computed once, found by what the rows hold, and never a reason to fail."""

import sqlite3
import subprocess
import sys
import warnings

import numpy as np
import pytest

from harness.preprocessing import cache as features
from harness.preprocessing.cache import cached_features


class Counting:
    """A function of rows that counts what it is asked for."""

    def __init__(self, dtype=np.float32):
        self.seen, self.dtype = [], dtype

    def __call__(self, rows):
        self.seen.append(len(rows))
        flat = rows.reshape(len(rows), 16).astype(np.float64)
        return np.stack([flat.sum(axis=1), flat @ np.arange(flat.shape[1])], axis=1).astype(self.dtype) / 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    features._warn_of_cache_error.cache_clear()
    return tmp_path / "features"


def images(n=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 1), dtype=np.uint8)


def the_file(cache):
    (path,) = cache.glob("*.sqlite")
    return path


def test_what_was_computed_once_is_not_computed_again_and_comes_back_to_the_bit():
    compute = Counting()
    made = cached_features("sums", images(), compute)
    again = cached_features("sums", images(), compute)
    assert compute.seen == [5]
    np.testing.assert_array_equal(made, Counting()(images()))
    assert again.dtype == made.dtype
    assert again.tobytes() == made.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_items_keep_their_dtype_and_shape(dtype):
    def compute(rows):
        return np.arange(len(rows) * 6, dtype=dtype).reshape(-1, 3, 2)

    for _ in range(2):
        made = cached_features("forms", images(), compute)
        assert made.dtype == dtype
        assert made.shape == (5, 3, 2)


def test_rows_are_found_by_what_they_hold_wherever_they_stand():
    compute, rows = Counting(), images(8)
    made = cached_features("sums", rows[:6], compute)
    mixed = cached_features("sums", rows[[7, 2, 0, 2]], compute)
    assert compute.seen == [6, 1]
    np.testing.assert_array_equal(mixed[[1, 2, 3]], made[[2, 0, 2]])


def test_equal_rows_are_computed_once_even_in_one_call():
    compute = Counting()
    cached_features("sums", images()[[0, 1, 0, 0, 1]], compute)
    assert compute.seen == [2]


def test_equal_bytes_of_another_shape_or_of_another_function_are_something_else():
    compute, rows = Counting(), images()
    cached_features("sums", rows, compute)
    cached_features("sums", rows.reshape(5, 2, 8, 1), compute)
    cached_features("sums of version 2", rows, compute)
    assert compute.seen == [5, 5, 5]


def test_no_rows_are_nothing_to_remember(cache):
    assert cached_features("sums", images(0), Counting()).shape == (0, 2)
    assert not cache.exists()


def test_what_compute_raises_is_raised_and_nothing_is_kept():
    def fails(rows):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached_features("sums", images(), fails)
    compute = Counting()
    cached_features("sums", images(), compute)
    assert compute.seen == [5]


def test_a_damaged_file_costs_time_and_one_warning(cache):
    compute = Counting()
    made = cached_features("sums", images(), compute)
    the_file(cache).write_bytes(b"no database at all" * 500)
    with pytest.warns(UserWarning, match="was damaged and is forgotten"):
        np.testing.assert_array_equal(cached_features("sums", images(), compute), made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            np.testing.assert_array_equal(cached_features("sums", images(), compute), made)
    assert compute.seen == [5, 5, 5]  # before, instead of the damaged file, into the new one


def test_an_item_that_is_not_what_was_written_is_computed_anew(cache):
    compute = Counting()
    made = cached_features("sums", images(), compute)
    database = sqlite3.connect(the_file(cache))
    with database:
        database.execute("UPDATE made SET item = zeroblob(8) WHERE key = (SELECT min(key) FROM made)")
    database.close()
    for _ in range(2):
        np.testing.assert_array_equal(cached_features("sums", images(), compute), made)
    assert compute.seen == [5, 1]


def test_without_a_place_to_write_all_is_computed_and_said_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "file"))
    compute = Counting()
    with pytest.warns(UserWarning, match="features cannot be kept in"):
        cached_features("sums", images(), compute)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached_features("sums", images(), compute)
    assert compute.seen == [5, 5]


def test_the_files_used_longest_ago_make_room(cache, monkeypatch):
    cached_features("first", images(), Counting())
    size = the_file(cache).stat().st_size
    monkeypatch.setattr(features, "MAX_BYTES", int(2.5 * size))
    for what in ("second", "first", "third"):
        cached_features(what, images(), Counting())
    first, second = Counting(), Counting()
    cached_features("first", images(), first)
    cached_features("second", images(), second)
    assert first.seen == []
    assert second.seen == [5]
    assert sum(path.stat().st_size for path in cache.glob("*.sqlite")) <= 2.5 * size


def test_one_function_alone_stays_within_the_bound_too(cache, monkeypatch):
    cached_features("sums", images(), Counting())
    monkeypatch.setattr(features, "MAX_BYTES", 2 * the_file(cache).stat().st_size)
    for seed in range(20):
        rows = np.random.default_rng(seed).integers(0, 256, (300, 4, 4, 1), dtype=np.uint8)
        cached_features("sums", rows, Counting())
    assert the_file(cache).stat().st_size <= 3 * features.MAX_BYTES


#: A process that says when it has started, and begins when it is told to.
PROCESS = """
import sys
import numpy as np
from harness.preprocessing.cache import cached_features

def compute(rows):
    print(len(rows), flush=True)
    total = sum(float(np.sin(rows.astype(float)).sum()) for _ in range(2000))  # so that the others come meanwhile
    return rows.reshape(len(rows), -1).astype(np.float32)

rows = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
print("started", flush=True)
sys.stdin.readline()
made = cached_features("pixels", rows, compute)
assert np.array_equal(made, rows.reshape(300, -1)), "other numbers"
"""


def test_processes_that_start_at_once_compute_each_row_once_between_them():
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [process.stdout.readline() for process in processes] == ["started\n"] * 3
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert "".join(output for output, _ in outputs).split() == ["300"]

"""How rows come in: members of wheels, addresses, the data directory, one's own files; and how they fail."""

import hashlib
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import zipfile

import pandas as pd
import pytest
from conftest import LONGEST_WAIT

from harness.data.files import read_table
from harness.data.sources import data_member, url_member, wheel_member
from harness.errors import DataError, Unavailable

ROWS = pd.DataFrame({"amount": [0.5, 1.25, 7.0], "city": ["Köln, am Rhein", "Bonn", None], "y": ["no", "no", "yes"]})


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- wheels -------------------------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A published wheel, named with other capitals than its package, that this machine's pip finds in a folder."""
    info = "tiny_rows-1.0.dist-info"
    content = zipped(
        **{
            "tiny_rows/rows.csv": "a,y\n1,no\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: Tiny-rows\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
    )
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "Tiny_rows-1.0-py3-none-any.whl").write_bytes(content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return "tiny_rows", "1.0", sha256(content), "tiny_rows/rows.csv", sha256(b"a,y\n1,no\n")


def test_a_member_of_a_wheel_comes_from_pip_once_and_then_from_the_cache(wheel, tmp_path):
    assert wheel_member(*wheel) == b"a,y\n1,no\n"
    for path in [*(tmp_path / "index").iterdir(), *(tmp_path / "cache" / "wheels").iterdir()]:
        path.unlink()
    assert wheel_member(*wheel) == b"a,y\n1,no\n"


def test_a_damaged_member_in_the_cache_is_fetched_anew(wheel, tmp_path):
    wheel_member(*wheel)
    kept = next((tmp_path / "cache").rglob("rows.csv"))
    kept.write_text("a,y\n2,yes\n")
    assert wheel_member(*wheel) == b"a,y\n1,no\n"
    assert kept.read_bytes() == b"a,y\n1,no\n"


def test_nothing_is_kept_of_what_has_a_wrong_checksum(wheel, tmp_path):
    package, version, wheel_sha256, member, member_sha256 = wheel
    with pytest.raises(DataError, match=r"the wheel of tiny_rows 1.0 has a wrong checksum: expected SHA-256 0000"):
        wheel_member(package, version, "0" * 64, member, member_sha256)
    with pytest.raises(DataError, match=r"tiny_rows/rows.csv in tiny_rows 1.0 has a wrong checksum"):
        wheel_member(package, version, wheel_sha256, member, "0" * 64)
    assert not list((tmp_path / "cache").rglob("rows.csv"))


def test_a_wheel_that_cannot_be_had_is_unavailable_in_one_line(wheel):
    with pytest.raises(
        Unavailable, match=r"pip could not download tiny_rows 2.0 \(ERROR: .*\): .*evenhand fetch"
    ) as caught:
        wheel_member("tiny_rows", "2.0", *wheel[2:])
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_says_so(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write .*: make room, or set EVENHAND_CACHE"):
        wheel_member(*wheel)


def test_two_processes_may_fetch_at_once(wheel, tmp_path):
    code = f"from harness.data.sources import wheel_member; print(len(wheel_member(*{wheel!r})))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=LONGEST_WAIT)[0] for process in both] == [b"9\n", b"9\n"]
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()) == [
        "rows.csv",
        "tiny_rows-1.0.whl",
    ]


# --- addresses and the data directory ---------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path, monkeypatch):
    """An address on this machine that serves a zip in a zip."""
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    archive = zipped(**{"readme.txt": "x", "inner.zip": zipped(**{"folder/rows.csv": "a;y\n"})})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(archive if self.path == "/rows.zip" else b"not a zip")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def closed_address():
    """An address on this machine at which connections are refused: its port is taken, and nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_file_is_found_in_a_zip_inside_a_zip_at_an_address(address, closed_address):
    assert url_member(f"{address}/rows.zip", "rows.csv", sha256(b"a;y\n"), "by hand") == b"a;y\n"
    # Once kept, the address is not asked again.
    assert url_member(f"{closed_address}/rows.zip", "rows.csv", sha256(b"a;y\n"), "by hand") == b"a;y\n"


def test_what_an_address_cannot_give_is_said_in_one_line(address, closed_address):
    with pytest.raises(DataError, match="wrong checksum"):
        url_member(f"{address}/rows.zip", "rows.csv", "0" * 64, "by hand")
    with pytest.raises(DataError, match=r"holds no file 'other\.csv'"):
        url_member(f"{address}/rows.zip", "other.csv", "0" * 64, "by hand")
    with pytest.raises(DataError, match="not a zip that can be read"):
        url_member(f"{address}/page.html", "rows.csv", "0" * 64, "by hand")
    with pytest.raises(Unavailable, match=r"cannot be fetched \(.*\): put it there"):
        url_member(f"{closed_address}/rows.zip", "rows.csv", "0" * 64, "put it there")


def test_a_file_of_the_data_directory_may_lie_in_a_zip(tmp_path):
    assert data_member(None, "bank", "rows.csv") is None
    assert data_member(tmp_path, "bank", "rows.csv") is None
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "a.zip").write_bytes(zipped(**{"x/other.csv": "o"}))
    (tmp_path / "bank" / "b.zip").write_bytes(zipped(**{"x/rows.csv": "zipped"}))
    assert data_member(tmp_path, "bank", "rows.csv") == b"zipped"
    (tmp_path / "bank" / "rows.csv").write_text("plain")
    assert data_member(tmp_path, "bank", "rows.csv") == b"plain"


# --- one's own file -----------------------------------------------------------------------------------------------


def test_lines_may_end_as_they_did_on_old_machines(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"a,y\r1,no\r2,yes\r")
    assert read_table(tmp_path / "rows.csv")["a"].tolist() == [1, 2]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_csv_of_any_usual_separator_is_read(tmp_path, separator):
    path = tmp_path / "rows.csv"
    ROWS.to_csv(path, sep=separator, index=False, encoding="utf-8-sig")
    frame = read_table(path)
    assert list(frame.columns) == ["amount", "city", "y"]
    assert frame["city"].iloc[0] == "Köln, am Rhein"


def test_parquet_is_read_with_a_named_index_as_a_column(tmp_path):
    ROWS.set_index("amount").to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "rows.parquet"), ROWS, check_dtype=False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"PAR1\x00\x00,\n", "is not a text file"),
        (b"x" * 2_000_000, "first line is longer than 1 MB"),
        (b"only\n" + b"x" * 2_000_000, "has one column only"),
        (b"a,y,a\n1,2,3\n", "two columns named 'a'"),
        (b'a,y\n1,"never closed\n', "not a table"),
        (b"a,y\n1,2\n1,2,3\n", "not a table"),
        (b"a,y\n1,2,3\n1,2,3\n", "more fields than its first line"),
    ],
)
def test_what_is_not_a_csv_is_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    (tmp_path / "rows.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="not a Parquet file"):
        read_table(tmp_path / "rows.parquet")


WRITTEN = ["NA", "null", "None", "007", "1.50", "nan", " two  words ", "?"]


def test_a_column_of_texts_is_read_as_it_is_written(tmp_path):
    """Other columns are not: "NA" in them is a gap."""
    path = tmp_path / "messages.csv"
    path.write_text("message,label,amount\n" + "".join(f"{text},{i % 2},NA\n" for i, text in enumerate(WRITTEN)))
    frame = read_table(path, written=["message"])
    assert frame["message"].tolist() == WRITTEN
    assert frame["amount"].isna().all()
    path.write_text("message,label\n007,1\n,0\n")
    assert read_table(path, written=["message"])["message"].tolist() == ["007", ""]
    assert read_table(path)["message"].tolist() == ["007", ""]  # a code, whose zeros are not lost

"""Data of OpenML, of the Hugging Face hub and behind URLs: fetched from a server on this machine, cached, read offline."""

import gzip
import http.server
import io
import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.addresses import fetch_address, is_address
from harness.data.files import read_table
from harness.errors import DataError, MissingPackageError, Unavailable
from harness.store.store import Store

OPENML = Path(__file__).parent / "fixtures" / "openml"
API = "/api/v1/xml"
FOLDS, IRIS_ROWS = 3, 150
SPLITS_HEADER = (
    "@relation splits\n\n@attribute type {TRAIN,TEST}\n@attribute rowid numeric\n@attribute repeat numeric\n"
)
SPLITS_HEADER += "@attribute fold numeric\n\n@data\n"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine: path → content, or status and content; `requests` lists the paths that were asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            running.requests.append(self.path)
            status, content = 404, b"no such page"
            if self.path in running.pages:
                page = running.pages[self.path]
                status, content = page if isinstance(page, tuple) else (200, page)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.pages, running.requests = {}, []
    running.url = f"http://127.0.0.1:{running.server_port}"
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVENHAND_OPENML_SERVER", f"{running.url}{API}")
    monkeypatch.setenv("HF_ENDPOINT", running.url)
    yield running
    running.shutdown()
    running.server_close()


def splits_of_iris(repeats=1, folds=FOLDS, rows=IRIS_ROWS):
    """Splits in the form in which OpenML publishes them."""
    lines = []
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(rows)
        for fold in range(folds):
            for position, row in enumerate(order):
                part = "TEST" if position % max(folds, 2) == fold else "TRAIN"
                lines.append(f"{part},{row},{repeat},{fold}")
    return (SPLITS_HEADER + "\n".join(lines) + "\n").encode()


def publish_iris(server, **pages):
    """The data set 61, the task 59 and the suite 146 of OpenML, as its published mock responses have them."""
    description = (OPENML / "data_description_61.xml").read_text().replace("https://api.openml.org", server.url)
    task = (OPENML / "task_description_119.xml").read_text().replace("<oml:data_set_id>20<", "<oml:data_set_id>61<")
    suite = (OPENML / "study_get_suite_final.xml").read_text()
    for number in (4, 5, 6):
        suite = suite.replace(f"<oml:task_id>{number}<", "<oml:task_id>59<" if number == 4 else "<oml:ignored>0<", 1)
    server.pages |= {
        f"{API}/data/61": description.encode(),
        f"{API}/data/features/61": (OPENML / "data_features_61.xml").read_bytes(),
        "/data/v1/download/61/iris.arff": (OPENML / "iris.arff").read_bytes(),
        f"{API}/task/59": task.replace("https://test.openml.org", server.url).encode(),
        "/api_splits/get/119/Task_119_splits.arff": splits_of_iris(),
        f"{API}/task/5001": (OPENML / "task_5001.xml").read_bytes(),
        f"{API}/study/146": (OPENML / "study_get_suite_final.xml").read_bytes(),
    } | pages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openml:61", True), ("openml-task:59", True), ("openml:task/59", True), ("hf:owner/name", True),
        ("https://example.org/rows.csv", True), ("s3://bucket/rows.parquet", True),
        ("rows.csv", False), ("data/rows.csv", False), ("telco_churn", False), ("C:/rows.csv", False),
    ],
)  # fmt: skip
def test_addresses_are_told_from_files_and_tasks(text, expected):
    assert is_address(text) is expected


def test_a_data_set_of_openml_is_fetched_once_and_then_read_without_a_network(server):
    publish_iris(server)
    [iris] = fetch_address("openml:61")
    assert (iris.target, iris.drop, iris.name) == ("class", (), "openml_61_iris")
    assert iris.origin["licence"] == "Public"
    assert "https://www.openml.org/d/61" in iris.origin["source"]
    rows = pd.read_parquet(iris.path)
    assert rows.shape == (IRIS_ROWS, 5)
    assert rows["sepallength"].dtype == "float64"
    assert list(rows["class"].cat.categories) == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    server.pages.clear()
    requests = list(server.requests)
    assert fetch_address("openml:61") == [iris]
    assert server.requests == requests


def test_published_splits_become_a_column_of_the_rows(server):
    publish_iris(server)
    [task] = fetch_address("openml:task/59")
    assert (task.target, task.split) == ("class", "published split")
    rows = pd.read_parquet(task.path)
    published = splits_of_iris().decode().split("@data\n")[1].split()
    tested = {tuple(line.split(",")[1:4:2]) for line in published if line.startswith("TEST")}
    assert {(str(row), fold) for row, fold in rows[task.split].items()} == tested
    server.pages.clear()
    assert fetch_address("openml-task:59") == [task]


def test_a_hold_out_and_repeats_are_written_as_published(server):
    publish_iris(server, **{"/api_splits/get/119/Task_119_splits.arff": splits_of_iris(folds=1)})
    rows = pd.read_parquet(fetch_address("openml:task/59")[0].path)
    assert rows["published split"].value_counts().to_dict() == {"train": 75, "test": 75}


def test_of_several_repeats_the_first_one_is_used_and_that_is_said(server):
    publish_iris(server, **{"/api_splits/get/119/Task_119_splits.arff": splits_of_iris(repeats=2)})
    task = server.pages[f"{API}/task/59"]
    server.pages[f"{API}/task/59"] = task.replace(b'"number_repeats">1<', b'"number_repeats">2<')
    [repeated] = fetch_address("openml:task/59")
    assert repeated.note == "of the 2 published repeats, the folds of the first one are used"
    rows = pd.read_parquet(repeated.path)
    first = [line.split(",") for line in splits_of_iris().decode().split() if line.startswith("TEST")]
    assert {(str(row), fold) for row, fold in rows["published split"].items()} == {(part[1], part[3]) for part in first}


def test_a_suite_is_its_tasks(server):
    suite = (OPENML / "study_get_suite_final.xml").read_text().replace(">4<", ">59<")
    for number in (5, 6):
        suite = suite.replace(f"<oml:task_id>{number}</oml:task_id>", "")
    publish_iris(server, **{f"{API}/study/146": suite.encode()})
    assert fetch_address("openml-suite:146") == fetch_address("openml:task/59")


def unknown_data_set():
    error = '<oml:error xmlns:oml="http://openml.org/openml"><oml:code>111</oml:code><oml:message>Unknown dataset'
    return 412, f"{error}</oml:message></oml:error>".encode()


@pytest.mark.parametrize(
    ("address", "pages", "message"),
    [
        ("openml:7", {f"{API}/data/7": unknown_data_set()}, "openml:7: OpenML answers: Unknown dataset"),
        ("openml:task/5001", {}, "is a task of Supervised Regression: expected one of Supervised Classification"),
        ("openml:iris", {}, "'openml:iris' is no address of OpenML: expected openml:ID"),
        ("openml:61", {"/data/v1/download/61/iris.arff": b"@relation iris\n"}, "wrong checksum: OpenML publishes MD5"),
        ("openml:61", {f"{API}/data/61": b"<html>"}, "did not answer with XML"),
        ("openml:task/59", {"/api_splits/get/119/Task_119_splits.arff": splits_of_iris(rows=160)}, "splits are of other rows"),
        ("openml:task/59", {"/api_splits/get/119/Task_119_splits.arff": splits_of_iris(2, 1)}, "neither one hold-out nor"),
        ("hf:owner/absent", {}, "there is no such data set"),
        ("hf:owner", {}, "is no address of Hugging Face: expected hf:owner/name"),
        ("ftps://host/rows.csv", {}, "cannot be read: Protocol not known: ftps"),
        ("simplecache::memory://rows.csv", {}, "chained addresses are not read"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_line(server, address, pages, message):
    publish_iris(server, **pages)
    with pytest.raises(DataError) as raised:
        fetch_address(address)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("address", ["openml:61", "hf:owner/name", "http://127.0.0.1:9/rows.csv"])
def test_without_a_network_the_message_says_where_the_cache_is(server, address, monkeypatch, tmp_path):
    monkeypatch.setenv("EVENHAND_OPENML_SERVER", "http://127.0.0.1:9/api")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable) as raised:
        fetch_address(address)
    assert f"{address} is not in the cache at {tmp_path}" in str(raised.value)
    assert "Connection refused" in str(raised.value)


def test_a_damaged_file_of_the_cache_is_fetched_again(server):
    publish_iris(server)
    [iris] = fetch_address("openml:61")
    content = iris.path.read_bytes()
    iris.path.write_bytes(content[:-9])
    fetch_address("openml:61")
    assert pd.read_parquet(iris.path).shape == (IRIS_ROWS, 5)


def test_arff_needs_its_package(server, monkeypatch):
    publish_iris(server)
    monkeypatch.setitem(__import__("sys").modules, "arff", None)
    with pytest.raises(MissingPackageError, match=r"needs liac-arff: pip install 'evenhand\[openml\]'"):
        fetch_address("openml:61")


def test_a_task_of_openml_runs_offline_in_its_published_splits(server, tmp_path, evenhand):
    publish_iris(server)
    assert evenhand("fetch", "openml:task/59")[0] == 0
    server.pages.clear()
    options = ("--family", "logistic_regression", "--strategy", "none", "--trials", "1", "--no-report", "--quiet")
    code, _, error = evenhand("run", "openml:task/59", *options, "--out", str(tmp_path / "run"))
    assert (code, error) == (0, "")
    store = Store(tmp_path / "run")
    task = store.read_run()["tasks"]["openml_task_59_iris"]
    assert (task["title"], task["licence"], task["splits"]) == ("iris (openml:task/59)", "Public", FOLDS)
    published = [line.split(",") for line in splits_of_iris().decode().split() if line.startswith("TEST")]
    for record in store.read_every_record():
        tested = sorted(int(row) for _, row, _, fold in published if int(fold) == record.fold)
        assert sorted(store.read_predictions(record).test_rows.tolist()) == tested


def test_a_suite_and_addresses_may_stand_among_tasks(server, tmp_path, evenhand):
    suite = (OPENML / "study_get_suite_final.xml").read_text().replace(">4<", ">59<")
    for number in (5, 6):
        suite = suite.replace(f"<oml:task_id>{number}</oml:task_id>", "")
    publish_iris(server, **{f"{API}/study/146": suite.encode()})
    options = ("--family", "majority", "--strategy", "none", "--trials", "1", "--no-report", "--quiet", "--folds", "2")
    evenhand("run", "openml-suite:146", "--task", "openml:61", *options, "--out", str(tmp_path / "run"))
    splits = {name: task["splits"] for name, task in Store(tmp_path / "run").read_run()["tasks"].items()}
    assert splits == {"openml_task_59_iris": FOLDS, "openml_61_iris": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("openml:7",), "openml:7 is not in the cache at"),
        (("openml:61", "--target", "petal"), "no such column 'petal' (--target)"),
        (("openml:iris",), "is no address of OpenML"),
        (("openml-suite:146", "--target", "class"), "--target goes with your own data"),
    ],
)
def test_the_command_line_says_in_a_line_why_data_cannot_be_had(server, evenhand, monkeypatch, arguments, message):
    publish_iris(server)
    if "7" in arguments[0]:
        monkeypatch.setenv("EVENHAND_OPENML_SERVER", "http://127.0.0.1:9/api")
    code, _, error = evenhand("run", *arguments)
    assert code != 0
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_the_python_interface_takes_addresses(server, tmp_path):
    import evenhand

    publish_iris(server)
    assert "openml" not in evenhand.inspect("openml:61").findings()["code"].tolist()
    inspection = evenhand.inspect("openml:task/59")
    assert "3 published splits" in inspection.summary()


# --- Hugging Face -------------------------------------------------------------------------------------------------


def parquet_of_hub(frame, **features):
    """A Parquet file as the hub makes it: classes are numbers, and their names stand in the metadata of the file."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def publish_on_hub(server, splits, configuration="default"):
    """A data set owner/name of the hub: split → the content of its one Parquet file."""
    urls = {}
    for split, content in splits.items():
        path = f"/api/datasets/owner/name/parquet/{configuration}/{split}/0.parquet"
        server.pages[path] = content
        urls[split] = [server.url + path]
    information = {
        "sha": "0123456789abcdef",
        "cardData": {"license": "mit", "pretty_name": "Tiny"},
        "description": "Tiny rows.",
    }
    server.pages["/api/datasets/owner/name"] = json.dumps(information).encode()
    server.pages["/api/datasets/owner/name/parquet"] = json.dumps({configuration: urls}).encode()


LABEL = {"names": ["ham", "spam"], "_type": "ClassLabel"}
STRING, NUMBER = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}


def messages(n, first=0, labels=(0, 1)):
    rows = range(first, first + n)
    return pd.DataFrame({"idx": rows, "sms": [f"message {i}" for i in rows], "label": [labels[i % 2] for i in rows]})


def test_texts_of_the_hub_keep_their_splits_and_the_names_of_their_classes(server):
    features = {"idx": NUMBER, "sms": STRING, "label": LABEL}
    splits = {"train": messages(8), "validation": messages(4, 8), "test": messages(4, 12, (-1, -1))}
    publish_on_hub(server, {split: parquet_of_hub(frame, **features) for split, frame in splits.items()})
    [texts] = fetch_address("hf:owner/name")
    assert (texts.target, texts.text, texts.split, texts.name) == ("label", "sms", "published split", "hf_owner_name")
    assert texts.origin["licence"] == "mit"
    assert texts.note == "the split test has no labels and is left out"
    rows = pd.read_parquet(texts.path)
    assert rows["published split"].value_counts().to_dict() == {"train": 8, "validation": 4}
    assert rows["label"].value_counts().to_dict() == {"ham": 6, "spam": 6}
    server.pages.clear()
    assert fetch_address("hf:owner/name") == [texts]
    [training] = fetch_address("hf:owner/name/default/train")
    assert (training.split, len(pd.read_parquet(training.path))) == (None, 8)


def test_a_table_of_the_hub_without_columns_that_hold_lists(server):
    frame = pd.DataFrame(
        {"amount": [1.5, 2.5], "words": [["a"], ["b"]], "city": ["Bonn", "Ulm"], "target": ["no", "yes"]}
    )
    features = {"amount": NUMBER, "words": [STRING], "city": STRING, "target": STRING}
    publish_on_hub(server, {"train": parquet_of_hub(frame, **features)})
    [table] = fetch_address("hf:owner/name")
    assert (table.target, table.text, table.split) == ("target", None, None)
    assert table.note == "columns that hold lists or structures are left out: words"
    assert list(pd.read_parquet(table.path).columns) == ["amount", "city", "target"]


def test_images_of_the_hub_become_folders_of_their_classes(server):
    png = b"\x89PNG tiny"
    images = [{"bytes": png, "path": "a.png"}, {"bytes": png, "path": "b.png"}, {"bytes": b"GIF89a", "path": "c.gif"}]
    frame = pd.DataFrame({"image": images, "label": [0, 1, 1]})
    content = parquet_of_hub(frame, image={"_type": "Image"}, label=LABEL)
    publish_on_hub(server, {"train": content, "test": content})
    [images] = fetch_address("hf:owner/name")
    files = sorted(path.relative_to(images.path).as_posix() for path in images.path.rglob("*.*"))
    assert files == [
        "test/ham/test-000000.png", "test/spam/test-000001.png", "train/ham/train-000000.png", "train/spam/train-000001.png",
    ]  # fmt: skip


def test_a_data_set_with_several_configurations_needs_one(server):
    publish_on_hub(server, {"train": parquet_of_hub(messages(4), label=LABEL)}, "small")
    server.pages["/api/datasets/owner/name/parquet"] = b'{"small": {}, "large": {}}'
    with pytest.raises(
        DataError, match="several configurations: say hf:OWNER/NAME/CONFIGURATION, with one of small, large"
    ):
        fetch_address("hf:owner/name")


# --- URLs ---------------------------------------------------------------------------------------------------------

CSV = b"amount,city,y\n0.5,Bonn,no\n1.25,Ulm,yes\n"


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
@pytest.mark.parametrize("scheme", ["http", "memory", "file"])
def test_files_behind_urls_are_read_like_files(server, tmp_path, scheme, name):
    import fsspec

    frame = pd.read_csv(io.BytesIO(CSV))
    content = {"rows.csv": CSV, "rows.csv.gz": gzip.compress(CSV), "rows.parquet": frame.to_parquet()}[name]
    server.pages[f"/data/{name}?raw=1"] = content
    (tmp_path / name).write_bytes(content)
    fsspec.filesystem("memory").pipe(f"/bucket/{name}", content)
    urls = {
        "http": f"{server.url}/data/{name}?raw=1",
        "memory": f"memory://bucket/{name}",
        "file": (tmp_path / name).as_uri(),
    }
    [table] = fetch_address(urls[scheme])
    assert (table.name, table.origin["title"]) == ("rows", name)
    assert "?" not in table.origin["source"]
    pd.testing.assert_frame_equal(read_table(table.path), frame)


def test_a_url_is_read_every_time_and_its_last_copy_where_it_cannot_be_reached(server):
    server.pages["/rows.csv"] = CSV
    [first] = fetch_address(f"{server.url}/rows.csv")
    server.pages["/rows.csv"] = CSV + b"3,Kiel,no\n"
    [second] = fetch_address(f"{server.url}/rows.csv")
    assert first.path != second.path
    assert first.path.read_bytes() == CSV  # a run that uses it goes on
    server.shutdown()
    server.server_close()
    [third] = fetch_address(f"{server.url}/rows.csv")
    assert third.path == second.path
    assert "cannot be reached: the copy of" in third.note


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("SERVER/absent.csv", "answers 404 Not Found"),
        ("SERVER/page", "answers with a web page and not with a table"),
        ("memory://bucket/absent.csv", "no such file: memory://bucket/absent.csv"),
        ("http://example.org/rows.csv", "expected an address that begins with https://"),
    ],
)
def test_urls_that_hold_no_table_are_refused(server, url, message):
    server.pages["/page"] = b"\n<!DOCTYPE html><html></html>"
    with pytest.raises(DataError, match=message):
        fetch_address(url.replace("SERVER", server.url))

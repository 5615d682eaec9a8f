"""`evenhand serve`: what it answers, what it refuses and how, who may ask, and that nothing is lost when it ends."""

import asyncio
import base64
import io
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import httpx
import numpy as np
import pandas as pd
import pytest
from conftest import LONGEST_WAIT, wait_until

pytest.importorskip("fastapi")

from harness.data.table import make_table
from harness.deploy.bundle import BundleContents, write_bundle
from harness.deploy.model import Model
from harness.deploy.predict import read_rows
from harness.deploy.schema import describe_task_rows
from harness.deploy.serve import serve_bundle
from harness.deploy.serve.app import make_app, make_service
from harness.deploy.serve.auth import is_loopback_address, read_token_file
from harness.deploy.serve.batching import Batcher, answer_requests
from harness.deploy.serve.monitoring import LOGGER, DriftMonitor, JsonLogFormatter, population_stability_index
from harness.deploy.serve.openapi import example_row, make_openapi_document
from harness.deploy.serve.requests import MAX_BODY_BYTES, RequestError, parse_request_rows
from harness.errors import EvenhandError
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.registry.task import Task
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

#: It works with httpx as with its successor.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
ROWS = 400
TOKEN = "a-token-of-more-than-sixteen-characters"  # noqa: S105 -- of these tests
EVERYWHERE = "0.0.0.0"  # noqa: S104 -- where serving is refused
REGISTRY = load_registry()


def customers(_folder=None):
    rng = np.random.default_rng(5)
    months, plan = rng.integers(0, 72, ROWS), rng.choice(["basic", "plus", 'free % "\N{EURO SIGN}"'], ROWS)
    left = (months < 20) & (plan == "basic") | (rng.random(ROWS) < 0.1)
    since = [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{2015 + i % 9}" for i in range(ROWS)]
    frame = {"plan": plan, "months": months, "since": since, "paperless": rng.random(ROWS) < 0.5, "left": left}
    return pd.DataFrame(frame | {"left": np.where(left, "yes", "no")})


def texts(_folder=None):
    words = np.random.default_rng(1).choice(["win", "money", "lunch", "home"], (90, 4))
    return pd.DataFrame(
        {"message": [" ".join(row) for row in words], "kind": np.where((words == "win").any(1), "spam", "ham")}
    )


def fitted_bundle(folder, task, family, threshold=0.4):
    raw = task.load(None)
    table = make_table(task, raw)
    recipe = PipelineSpec(REGISTRY.family(family), (REGISTRY.strategy("none"),), task.modality, len(table.classes))
    fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(table.X, table.y, 1))
    about = {"task": task.name, "entry": f"{task.name}/{family}/none/default", "title": "Customers who leave"}
    about |= {"classes": list(table.classes), "positive": table.classes[1], "threshold": threshold}
    about |= {"calibration": "none", "versions": {}}
    return write_bundle(folder, BundleContents(about, describe_task_rows(task, table), fitted, None, "card"))


CUSTOMERS = Task(name="customers", load=customers, target="left", positive="yes")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return fitted_bundle(tmp_path_factory.mktemp("served") / "bundle", CUSTOMERS, "logistic_regression")


@pytest.fixture(scope="module", autouse=True)
def patient_service():
    """A busy machine may take longer for an answer than a client should wait for it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for limit in ("BODY_SECONDS", "ANSWER_SECONDS"):
            monkeypatch.setattr(f"harness.deploy.serve.app.{limit}", float(LONGEST_WAIT))
        yield


@contextmanager
def client(bundle, token=None, **headers):
    """Ask the application in this process, without a network; what it logs is left in `.logged`."""
    from starlette.testclient import TestClient

    app = make_app(make_service(bundle), token)
    with TestClient(app, base_url="http://127.0.0.1", headers=headers, raise_server_exceptions=False) as asking:
        yield asking


@pytest.fixture(scope="module")
def asking(bundle):
    with client(bundle) as one:
        yield one


def row(**other):
    return {"plan": "basic", "months": 12, "since": "31.01.2020", "paperless": True} | other


def predict(asking, *rows):
    return asking.post("/predict", json={"rows": list(rows)})


def test_an_answer_says_class_probabilities_threshold_and_which_bundle(asking, bundle):
    frame = pd.DataFrame([row(), row(plan="plus", months=70)])
    found = predict(asking, *frame.to_dict("records")).json()
    proba = bundle.predict_proba(read_rows(bundle.schema, frame).X)
    assert found["bundle"] == bundle.id
    assert (found["positive"], found["threshold"]) == ("yes", 0.4)
    assert [one["probability"] for one in found["rows"]] == pytest.approx(proba[:, 1], abs=1e-6)
    assert [one["probabilities"]["no"] for one in found["rows"]] == pytest.approx(proba[:, 0], abs=1e-6)
    assert [one["class"] for one in found["rows"]] == ["yes" if p >= 0.4 else "no" for p in proba[:, 1]]
    assert [one["flags"] for one in found["rows"]] == [[], []]


@pytest.mark.parametrize("first_line", ["", "sep={}\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_is_answered_like_json(asking, delimiter, first_line):
    rows = [row(), row(months=None), row(plan='free % "€"', paperless=False)]
    text = first_line.format(delimiter) + pd.DataFrame(rows).to_csv(index=False, sep=delimiter)
    as_csv = asking.post(
        "/predict", content="\ufeff" + text, headers={"content-type": "text/csv; charset=utf-8"}
    ).json()
    assert as_csv == predict(asking, *rows).json()


@pytest.mark.parametrize("gap", ["", "NA", "n/a", "NULL", "None", "#N/A", "nan"])
def test_gaps_of_a_csv_are_those_of_the_files_that_models_learn_from(asking, gap):
    text = f"plan,months,since,paperless\nbasic,12,31.01.2020,True\n{gap},{gap},{gap},{gap}\n"
    learnt = pd.read_csv(io.StringIO(text)).iloc[1]
    assert learnt.isna().all()
    found = asking.post("/predict", content=text, headers={"content-type": "text/csv"}).json()
    nothing = dict.fromkeys(["plan", "months", "since", "paperless"])
    assert found["rows"] == predict(asking, row(), nothing).json()["rows"]


def test_what_is_odd_is_answered_and_flagged(asking):
    found = predict(asking, row(plan="gold"), row(months=None), row(months=999), row()).json()["rows"]
    assert [[flag["field"] for flag in one["flags"]] for one in found] == [["plan"], ["months"], ["months"], []]
    assert "gold" in found[0]["flags"][0]["what"]
    assert all(0 <= one["probability"] <= 1 for one in found)


def test_columns_that_nobody_asked_for_are_named_and_ignored(asking):
    assert predict(asking, row(name="Ann"), row()).json()["ignored"] == ["name"]


REFUSED = {
    "a missing column": ({"rows": [row(), {"plan": "basic", "months": 1, "since": "31.01.2020"}]}, 422, "paperless", 1),
    "a word for a number": ({"rows": [row(months="many")]}, 422, "months", 0),
    "a list for a number": ({"rows": [row(), row(months=[1])]}, 422, "months", 1),
    "an object for a category": ({"rows": [row(plan={"a": 1})]}, 422, "plan", 0),
    "true for a number": ({"rows": [row(months=True)]}, 422, "months", 0),
    "a number for a date": ({"rows": [row(since=2020)]}, 422, "since", 0),
    "a date of no calendar": ({"rows": [row(since="31.02.2020")]}, 422, "since", 0),
    "no rows": ({"rows": []}, 422, "rows", None),
    "too many rows": ({"rows": [{}] * 10_001}, 422, "rows", None),
    "rows that are none": ({"rows": [1]}, 422, "rows", 0),
    "rows in no list": ({"rows": {"plan": ["basic"]}}, 422, "rows", None),
    "another key": ({"rows": [row()], "more": 1}, 422, "rows", None),
    "a list": ([row()], 422, "rows", None),
}


@pytest.mark.parametrize(("body", "status", "field", "at"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_refused_by_field_and_row(asking, body, status, field, at):
    found = asking.post("/predict", json=body)
    assert (found.status_code, found.json()["field"], found.json()["row"]) == (status, field, at)
    assert "\n" not in found.json()["error"]


BROKEN = {
    "infinity": ("application/json", json.dumps({"rows": [row(months=float("inf"))]}), 422),
    "beyond all floats": ("application/json", json.dumps({"rows": [row()]}).replace("12", "1e999"), 422),
    "a whole number of a thousand digits": ("application/json", json.dumps({"rows": [row(months=10**1000)]}), 422),
    "NaN": ("application/json", json.dumps({"rows": [row(months=float("nan"))]}), 422),
    "no JSON": ("application/json", '{"rows": [', 400),
    "half a character": ("application/json", '{"rows": [{"plan": "\\ud800"}]}', 400),
    "nothing": ("application/json", "", 400),
    "deep JSON": ("application/json", "[" * 100_000, 400),
    "deep JSON in a row": ("application/json", '{"rows": [' + '{"plan": ' * 5000, 400),
    "no UTF-8": ("application/json", b'{"rows": [{"plan": "\xff"}]}', 400),
    "CSV, no UTF-8": ("text/csv", b"plan,months\n\xff,1\n", 400),
    "CSV, a quote that does not end": ("text/csv", 'plan,months,since,paperless\n"basic,1,31.01.2020,True\n', 400),
    "CSV, a line too short": ("text/csv", "plan,months,since,paperless\nbasic,1\n", 400),
    "CSV, a line too long": ("text/csv", "plan,months,since,paperless\nbasic,1,31.01.2020,True,1\n", 400),
    "CSV, a column twice": ("text/csv", "plan,plan,months,since,paperless\na,b,1,31.01.2020,True\n", 422),
    "CSV, a column missing": ("text/csv", "plan,months,since\na,1,31.01.2020\n", 422),
    "CSV, no rows": ("text/csv", "plan,months,since,paperless\n", 422),
    "CSV, nothing": ("text/csv", "", 400),
    "CSV, a NUL": ("text/csv", "plan,months,since,paperless\n\x00,\x00,31.01.2020,True\n", 422),
    "another kind": ("text/plain", json.dumps({"rows": [row()]}), 415),
    "another charset": ("text/csv; charset=latin-1", "plan\nbasic\n", 415),
    "no kind": ("", json.dumps({"rows": [row()]}), 415),
}


@pytest.mark.parametrize(("kind", "body", "status"), BROKEN.values(), ids=BROKEN)
def test_a_broken_body_is_refused_in_one_line(asking, kind, body, status):
    found = asking.post("/predict", content=body, headers={"content-type": kind})
    assert found.status_code == status
    assert set(found.json()) == {"error", "field", "row"}


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(asking):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 4 * MAX_BODY_BYTES:
            sent += 2**20
            yield b" " * 2**20

    told = asking.post("/predict", content=b" " * (MAX_BODY_BYTES + 1), headers={"content-type": "application/json"})
    untold = asking.post("/predict", content=endless(), headers={"content-type": "application/json"})
    assert told.status_code == untold.status_code == 413
    assert "MB" in told.json()["error"]


def test_a_compressed_body_is_not_unpacked(asking):
    found = asking.post("/predict", content=b"x", headers={"content-type": "text/csv", "content-encoding": "gzip"})
    assert found.status_code == 415


def test_reasons_add_up_to_the_answer(asking, bundle):
    found = asking.post("/explain", json={"rows": [row(months=2), row(plan="plus")]}).json()
    for one in found["rows"]:
        assert one["base"] + sum(reason["adds"] for reason in one["reasons"]) == pytest.approx(one["total"], abs=1e-4)
        assert 1 / (1 + np.exp(-one["total"])) == pytest.approx(one["probability"], abs=1e-4)
        assert {reason["name"] for reason in one["reasons"]} == {"plan", "months", "since", "paperless"}
    assert found["rows"][0]["reasons"][0]["name"] == "months"


def test_reasons_are_given_for_a_few_rows_only(asking):
    assert asking.post("/explain", json={"rows": [row()] * 21}).status_code == 422


def test_a_text_is_answered_and_explained_word_by_word(tmp_path):
    task = Task(name="messages", load=texts, target="kind", positive="spam", modality="text", text="message")
    with client(fitted_bundle(tmp_path / "bundle", task, "logistic_regression")) as asking:
        found = predict(asking, {"message": "win money"}, {"message": ""}, {"message": "lunch"}).json()["rows"]
        assert found[0]["probability"] > found[2]["probability"]
        assert found[1]["flags"][0]["what"] == "missing"
        why = asking.post("/explain", json={"rows": [{"message": "win lunch"}]}).json()["rows"][0]["reasons"]
        assert [one["name"] for one in why] == ["win", "lunch"]


def png(grey):
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.full((6, 6), grey, np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_picture_is_base64_of_a_file(tmp_path):
    pytest.importorskip("PIL")
    from harness.data.images import LabeledImages

    labels = np.where(np.arange(80) % 4 == 0, "dark", "light")
    shades = np.where(labels == "dark", 40, 200).astype(np.uint8)[:, None, None, None] * np.ones((1, 6, 6, 1), np.uint8)
    task = Task(name="shades", load=lambda _: LabeledImages(shades, labels), target="shade", modality="image")
    with client(fitted_bundle(tmp_path / "bundle", task, "majority")) as asking:
        found = predict(asking, {"picture": png(30)}, {"picture": "data:image/png;base64," + png(210)}).json()
        assert [one["probabilities"]["dark"] for one in found["rows"]] == [0.25, 0.25]
        for wrong in ("no base64!", base64.b64encode(b"no picture").decode(), 7, None):
            refused = predict(asking, {"picture": png(30)}, {"picture": wrong})
            assert (refused.status_code, refused.json()["field"], refused.json()["row"]) == (422, "picture", 1)
        assert asking.post("/explain", json={"rows": [{"picture": png(30)}]}).status_code == 200


def test_the_schema_health_readiness_and_metrics_are_told(bundle):
    with client(bundle) as asking:
        predict(asking, row(), row(plan="gold"))
        predict(asking, row(months="many"))
        told = asking.get("/schema").json()
        assert [one["name"] for one in told["features"]] == ["plan", "months", "since", "paperless"]
        assert asking.get("/health").json()["status"] == "alive"
        assert asking.get("/ready").json() == {"status": "ready", "bundle": bundle.id}
        counted = asking.get("/metrics").text
    assert 'evenhand_requests_total{path="/predict",status="200"} 1.0' in counted
    assert 'evenhand_requests_total{path="/predict",status="422"} 1.0' in counted
    assert "evenhand_flagged_rows_total 1.0" in counted


def test_the_pages_load_nothing_from_elsewhere(asking):
    for path in ("/", "/docs", "/page.css", "/page.js", "/docs.js"):
        page = asking.get(path)
        assert page.status_code == 200
        assert "://" not in page.text.replace("http://www.w3.org/2000/svg", "")
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_unknown_paths_and_methods_are_told_so(asking):
    assert asking.get("/secret?name=Ann").status_code == 404
    assert asking.get("/predict").status_code == 405


def test_drift_is_seen_where_a_column_shifts_and_only_there(bundle):
    rng = np.random.default_rng(0)
    usual = customers().drop(columns="left")
    with client(bundle) as asking:
        asking.post("/predict", content=usual[:100].to_csv(index=False), headers={"content-type": "text/csv"})
        verdicts = {one["verdict"] for one in asking.get("/drift").json()["columns"]}
        assert verdicts == {"too few rows to say"}
        other = usual.assign(months=rng.integers(60, 72, ROWS))
        asking.post("/predict", content=other.to_csv(index=False), headers={"content-type": "text/csv"})
        found = {one["name"]: one["verdict"] for one in asking.get("/drift").json()["columns"]}
    assert found == {"months": "shifted: large", "plan": "steady", "since": "steady", "paperless": "steady"}


def test_drift_forgets_and_does_not_grow(bundle):
    drift, X = DriftMonitor(bundle.schema), read_rows(bundle.schema, customers()).X
    for _ in range(200):
        drift.count_rows(X)
    assert len(drift.blocks) == 20
    assert drift.drift_report()["rows"] <= 20 * (1000 + ROWS)


def test_rows_are_counted_the_same_one_by_one_and_at_once(bundle):
    at_once, single = DriftMonitor(bundle.schema), DriftMonitor(bundle.schema)
    strange = pd.DataFrame([row(plan="gold"), row(plan=None), row(months=None), *[row(months=m) for m in range(70)]])
    at_once.count_rows(read_rows(bundle.schema, strange).X)
    for i in range(len(strange)):
        single.count_rows(read_rows(bundle.schema, strange[i : i + 1]).X)
    assert single.drift_report() == at_once.drift_report()
    assert at_once.drift_report()["rows"] == 73


def test_rows_of_the_same_population_seldom_shift_by_chance():
    rng, then = np.random.default_rng(0), tuple([0.1] * 10 + [0.0])
    found = [population_stability_index(then, 5000, rng.multinomial(300, then)) for _ in range(400)]
    beyond = np.mean([index > chance for index, chance in found])
    assert 0.01 < beyond < 0.1


def sent(bundle, *rows):
    return parse_request_rows("application/json", json.dumps({"rows": rows}).encode(), bundle.schema)


def test_requests_answered_together_get_what_they_would_alone(bundle):
    requests = [sent(bundle, row(), row(plan="gold")), sent(bundle, row(months=3)), sent(bundle, row(months=None))]
    together, _ = answer_requests(bundle, requests)
    for one, request in zip(together, requests, strict=True):
        (alone,), _ = answer_requests(bundle, [request])
        assert one.proba == pytest.approx(alone.proba)
        assert (one.flags, one.decided.tolist()) == (alone.flags, alone.decided.tolist())


def test_a_bad_request_spoils_no_other_that_came_with_it(bundle):
    good, bad = sent(bundle, row()), sent(bundle, row(), row(months="many"))
    found, read = answer_requests(bundle, [good, bad, good])
    assert getattr(found[1], "field", None) == "months"
    assert getattr(found[1], "row", None) == 1
    assert found[0].proba == pytest.approx(found[2].proba)
    assert [len(X) for X in read] == [1, 1]


@dataclass
class HeldModel:
    """A model that predicts only once it is released; notes how many rows it was asked for in one go."""

    model: Model
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)

    def predict_proba(self, X):
        self.sizes.append(len(X))
        self.started.set()
        assert self.released.wait(LONGEST_WAIT)
        return self.model.predict_proba(X)


async def held_batch(batcher, model, request, count):
    """Let one request occupy the model and `count` more wait in line, then release the model; returns all answers."""
    model.started.clear()
    model.released.clear()
    first = asyncio.ensure_future(batcher.predict_request(request))
    assert await asyncio.to_thread(model.started.wait, LONGEST_WAIT)
    others = [asyncio.ensure_future(batcher.predict_request(request)) for _ in range(count)]
    while len(batcher.queue) + sum(other.done() for other in others) < count:
        await asyncio.sleep(0)
    model.released.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_what_waits_while_the_model_works_goes_together_and_too_much_is_turned_away(bundle, monkeypatch):
    model = HeldModel(bundle.model)
    batcher = Batcher(replace(bundle, model=model))
    request = sent(bundle, row())

    async def many():
        with batcher.run_until_exit():
            answered = await held_batch(batcher, model, request, 49)
            monkeypatch.setattr("harness.deploy.serve.batching.MAX_QUEUED_ROWS", 3)
            return answered, await held_batch(batcher, model, request, 5)

    answered, limited = asyncio.run(many())
    assert model.sizes == [1, 49, 1, 3]
    assert [len(answer.proba) for answer in answered] == [1] * 50
    assert [answer.status for answer in limited if isinstance(answer, RequestError)] == [503, 503]


def test_rows_that_were_answered_are_passed_on_in_the_batches_in_which_they_were(bundle):
    model, sizes, passed = HeldModel(bundle.model), [], threading.Event()

    def see(X):
        sizes.append(len(X))
        if len(sizes) == 2:
            passed.set()

    batcher = Batcher(replace(bundle, model=model), see)

    async def many():
        with batcher.run_until_exit():
            await held_batch(batcher, model, sent(bundle, row()), 4)
            assert await asyncio.to_thread(passed.wait, LONGEST_WAIT)

    asyncio.run(many())
    assert sizes == [1, 4]


def test_a_client_that_gave_up_costs_no_other_its_answer(bundle):
    batcher = Batcher(bundle)

    async def leave():
        with batcher.run_until_exit():
            gone = asyncio.ensure_future(batcher.predict_request(sent(bundle, row())))
            await asyncio.sleep(0)
            gone.cancel()
            return await batcher.predict_request(sent(bundle, row()))

    assert len(asyncio.run(leave()).proba) == 1


def test_a_token_is_asked_for_everywhere_but_where_nothing_is_told(bundle):
    with client(bundle, TOKEN) as asking:
        for path in ("/schema", "/metrics", "/drift", "/openapi.json", "/nothing"):
            assert asking.get(path).status_code == 401
            assert asking.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
            assert asking.get(path, headers={"authorization": TOKEN}).status_code == 401
        assert predict(asking, row()).headers["www-authenticate"] == "Bearer"
        for path in ("/", "/health", "/ready", "/docs", "/page.js"):
            assert asking.get(path).status_code == 200
    with client(bundle, TOKEN, authorization=f"Bearer {TOKEN}") as asking:
        assert predict(asking, row()).status_code == 200


def test_without_a_token_only_names_of_this_machine_are_served(asking):
    assert asking.get("/schema", headers={"host": "evil.example"}).status_code == 421
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        assert asking.get("/schema", headers={"host": host}).status_code == 200


def test_a_log_line_is_json_and_repeats_nothing_of_a_row(bundle, caplog, monkeypatch):
    monkeypatch.setattr(LOGGER, "propagate", True)
    with client(bundle) as asking, caplog.at_level(logging.INFO, LOGGER.name):
        predict(asking, row(plan="secret-plan"))
        predict(asking, row(months="secret-months"))
        asking.get("/secret-path?secret-query", headers={"x-request-id": "mine-1"})
    lines = [JsonLogFormatter().format(record) for record in caplog.records if record.name == LOGGER.name]
    said = [json.loads(line) for line in lines]
    assert [one["status"] for one in said] == [200, 422, 404]
    assert [one["rows"] for one in said] == [1, 1, 0]
    assert said[2]["request"] == "mine-1"
    assert "secret" not in " ".join(lines)


def test_what_nobody_foresaw_is_a_500_that_tells_nothing(bundle, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("harness.deploy.serve.responses.predictions_to_json", broken)
    monkeypatch.setattr(LOGGER, "propagate", True)
    with client(bundle) as asking:
        found = predict(asking, row())
    assert found.status_code == 500
    assert found.headers["x-request-id"] in found.json()["error"]
    assert "secret" not in found.text + " ".join(JsonLogFormatter().format(record) for record in caplog.records)


def test_a_token_file_must_hold_one_long_word(tmp_path):
    for wrong in ("", "short", "two words of more than sixteen", "é" * 20):
        (tmp_path / "token").write_text(wrong, encoding="utf-8")
        with pytest.raises(EvenhandError, match="token file"):
            read_token_file(tmp_path / "token")
    (tmp_path / "token").write_text(TOKEN + "\n", encoding="ascii")
    assert read_token_file(tmp_path / "token") == TOKEN
    with pytest.raises(EvenhandError, match="No such file"):
        read_token_file(tmp_path / "none")


def test_which_addresses_only_this_machine_reaches():
    assert all(map(is_loopback_address, ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback_address, (EVERYWHERE, "::", "192.168.1.5", "example.org", "")))


def test_packages_that_are_not_installed_are_named_with_the_command_that_installs_them():
    code = (
        "import sys; from pathlib import Path; sys.modules['uvicorn'] = None\n"
        "from harness.deploy.serve import serve_bundle\n"
        "from harness.errors import Unavailable\n"
        "try: serve_bundle(Path('bundle'))\n"
        "except Unavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "serving needs uvicorn: pip install 'evenhand[deploy]'"


def test_an_open_address_without_a_token_a_taken_port_and_no_bundle_are_one_line(bundle, tmp_path):
    with pytest.raises(EvenhandError, match="--token-file"):
        serve_bundle(bundle.folder, EVERYWHERE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EvenhandError, match="in use"):
            serve_bundle(bundle.folder, "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(EvenhandError, match="no bundle"):
        serve_bundle(tmp_path, "127.0.0.1", 0)
    with pytest.raises(EvenhandError, match="cannot serve at"):
        serve_bundle(bundle.folder, "127.0.0.1", 70_000)


def test_the_examples_of_the_description_are_answered(asking, bundle):
    document = asking.get("/openapi.json").json()
    assert document == json.loads(json.dumps(make_openapi_document(bundle)))
    for path in ("/predict", "/explain"):
        for kind, content in document["paths"][path]["post"]["requestBody"]["content"].items():
            body = content["example"] if kind == "text/csv" else json.dumps(content["example"])
            found = asking.post(path, content=body, headers={"content-type": kind})
            assert found.status_code == 200
            assert found.json()["rows"][0]["flags"] == []
    assert set(example_row(bundle.schema)) == {"plan", "months", "since", "paperless"}


@contextmanager
def served(bundle):
    """The service as it is, at an address of its own, in a thread; gives the address and what ends it."""
    import uvicorn

    from harness.deploy.serve.server import GracefulServer

    service = make_service(bundle)
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        config = uvicorn.Config(make_app(service), log_config=None, access_log=False, lifespan="on")
        server = GracefulServer(config, service)
        thread = threading.Thread(target=server.run, args=([at],))
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started
            yield f"http://127.0.0.1:{at.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


def test_what_was_sent_before_it_is_told_to_stop_is_answered(bundle, monkeypatch):
    # It ends when this test has seen enough, not after a second that a busy machine may need for a request.
    monkeypatch.setattr("harness.deploy.serve.server.SHUTDOWN_SECONDS", LONGEST_WAIT)
    statuses, refused = [], threading.Event()

    def send(address):
        with httpx.Client(timeout=LONGEST_WAIT) as one:
            while not refused.is_set():
                try:
                    statuses.append(one.post(address + "/predict", json={"rows": [row()]}).status_code)
                except httpx.ConnectError:  # nobody listens any more: nothing was sent
                    refused.set()

    with served(bundle) as (address, server):
        threads = [threading.Thread(target=send, args=(address,)) for _ in range(4)]
        for one in threads:
            one.start()
        wait_until(lambda: len(statuses) >= 20)
        server.handle_exit(signal.SIGTERM, None)
        before = len(statuses)
        assert httpx.get(address + "/ready", timeout=LONGEST_WAIT).status_code == 503
        wait_until(lambda: len(statuses) >= before + 5)
        assert httpx.get(address + "/ready", timeout=LONGEST_WAIT).status_code == 503
        server.deadline = 0.0
        for one in threads:
            one.join(LONGEST_WAIT)
    assert set(statuses) == {200}


def fuzzed(bundle, examples):
    """Ask everything that the description names with whatever it allows and whatever it does not; returns statuses met."""
    import schemathesis
    from schemathesis import GenerationMode

    @schemathesis.serializer("text/csv")
    def plain(_context, value):
        return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")

    met = Counter()
    with served(bundle) as (address, _):
        schema = schemathesis.openapi.from_url(address + "/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode:
                if operation.method == "post" or mode == GenerationMode.POSITIVE:
                    asked(operation, mode, examples if operation.method == "post" else 2, met)
    return met


def asked(operation, mode, examples, met):
    from hypothesis import HealthCheck, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        met[operation.path, case.call_and_validate(checks=checks, timeout=LONGEST_WAIT).status_code] += 1

    ask()


def test_nothing_that_the_description_allows_or_forbids_is_a_failure_of_the_service(bundle):
    pytest.importorskip("schemathesis")
    met = fuzzed(bundle, 60)
    assert {200, 422} <= {status for path, status in met if path == "/predict"}
    assert sum(met.values()) > 200


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_bodies_with_bytes_changed_lost_or_doubled_are_answered_or_refused(asking, kind):
    rows = pd.DataFrame([row(), row(plan='free % "€"', months=None), row(since="1.1.2020", paperless=False)])
    body = rows.to_csv(index=False) if kind == "text/csv" else json.dumps({"rows": [row(), row(plan=None)]})
    rng, met = np.random.default_rng(3), Counter()
    for _ in range(400):
        made = bytearray(body.encode())
        for at in rng.integers(0, len(made), rng.integers(1, 4)):
            change = rng.integers(4)
            made[at : at + (change > 0)] = bytes(
                [made[at]] * 2 if change == 1 else [rng.integers(256)] if change < 3 else []
            )
        met[asking.post("/predict", content=bytes(made), headers={"content-type": kind}).status_code] += 1
    assert set(met) == {200, 400, 422}, met

"""What `evenhand serve` does on this machine, the load included: how long a row takes, how many rows a second, what is lost.

    python tests/speed/serve.py [BUNDLE [SECONDS]]

Without a bundle XGBoost is fitted to telco churn. Requests leave at fixed times, whatever became of those before, and
their time counts from when they were due: a service that stalls is not spared the requests that it kept waiting. The
same load goes to a service that predicts requests together, and to one that predicts each alone.
"""

import asyncio
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np

WAYS = ("together", "alone")
RATES = (100, 200, 400)
BATCH, BATCHES = 10_000, 8


def main():
    words = sys.argv[1:]
    if words[:1] == ["--serve"]:
        serve_bundle_at(Path(words[1]), int(words[2]), words[3] == "together")
        return
    seconds = float(words[1]) if len(words) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(words[0]) if words else made(Path(folder) / "bundle")
        rows = rows_of(bundle)
        single(bundle, rows, seconds)
        batches(bundle, rows)
        ending(bundle, rows)


def single(bundle, rows, seconds):
    body = as_json(rows[:1])
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    print(f"one row a request, {seconds:.0f} s each, milliseconds")
    print(f"{'':10}{'rate/s':>8}{'p50':>8}{'p99':>8}{'most':>8}{'answered':>10}{'failed':>8}")
    for way in WAYS:
        with served(bundle, way) as (port, _):
            asyncio.run(load(port, body, 100, 2))
            for rate in RATES:
                took, failed, _ = asyncio.run(load(port, body, rate, seconds))
                p50, p99, most = np.quantile(took, (0.5, 0.99, 1)) * 1000
                print(f"{way:10}{rate:8}{p50:8.1f}{p99:8.1f}{most:8.1f}{len(took):10}{failed:8}")


def batches(bundle, rows):
    many = [rows[i % len(rows)] for i in range(BATCH)]
    with served(bundle, "together") as (port, started):
        print(f"start: {started:.2f} s until /ready")
        for kind, body in (("application/json", as_json(many)), ("text/csv", as_csv(many))):
            ask(port, body, kind)
            begun = time.perf_counter()
            for _ in range(BATCHES):
                ask(port, body, kind)
            spent = time.perf_counter() - begun
            print(f"{BATCH:,} rows a request, {kind}: {BATCHES * BATCH / spent:,.0f} rows/s")
        print("one row, 200/s, while such batches come one after the other:")
        took, failed, _ = asyncio.run(beside(port, as_json(rows[:1]), as_json(many)))
        p50, p99 = np.quantile(took, (0.5, 0.99)) * 1000
        print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {failed} failed")


def ending(bundle, rows):
    """SIGTERM in the middle of a load: what was sent and not answered is lost."""
    body = as_json(rows[:1])
    for fresh in (False, True):
        lost = sent = refused = 0
        for _ in range(5):
            with served(bundle, "together", wait=True) as (port, process):
                took, failed, turned = asyncio.run(load(port, body, 200, 4, (process, 1.5), fresh))
                lost, sent, refused = lost + failed, sent + len(took) + failed, refused + turned
        how = "a connection for each request" if fresh else "connections kept"
        print(f"SIGTERM at 200/s, five times, {how}: {sent} sent, {lost} lost, {refused} not taken any more")


async def load(port, body, rate, seconds, end=None, fresh=False):
    """Seconds that each answered request took, how many were lost, and how many found nobody there."""
    loop, idle, took, tasks = asyncio.get_running_loop(), [], [], []
    request = head(body, "application/json") + body
    lost = turned = 0

    async def one(due):
        nonlocal lost, turned
        try:
            while idle and idle[-1][0].at_eof():  # the service has closed it: whoever looks, sees
                idle.pop()[1].close()
            pair = idle.pop() if idle and not fresh else await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            turned += 1
            return
        try:
            pair[1].write(request)
            status, keep = await answer(pair[0])
            took.append(loop.time() - due)
            lost += status != 200
            if keep and not fresh:
                idle.append(pair)
            else:
                pair[1].close()
        except (OSError, asyncio.IncompleteReadError):
            lost += 1

    begun = loop.time()
    for i in range(int(rate * seconds)):
        due = begun + i / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(one(due)))
        if end and i == int(rate * end[1]):
            end[0].send_signal(signal.SIGTERM)
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    return took, lost, turned


async def beside(port, body, large):
    """The same load, with large requests one after the other on a connection of their own."""
    on = True

    async def batch():
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        while on:
            writer.write(head(large, "application/json") + large)
            await answer(reader)
        writer.close()

    task = asyncio.create_task(batch())
    found = await load(port, body, 200, 5)
    on = False
    await task
    return found


async def answer(reader):
    """The status of an answer that is read to its end, and whether the connection stays."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers.get("connection") != "close"


def head(body, kind):
    lines = ("POST /predict HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(port, body, kind):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"Content-Type": kind})
    with urllib.request.urlopen(request) as response:  # noqa: S310
        return response.read()


@contextmanager
def served(bundle, way, wait=False):
    """A service in a process of its own: its port, and the seconds it took to be ready (or the process, where it is waited for)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    words = [sys.executable, __file__, "--serve", str(bundle), str(port), way]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").close()
                    break
                except OSError:
                    if process.poll() is not None:
                        sys.exit("the service did not start")
                    time.sleep(0.02)
            yield port, process if wait else time.perf_counter() - begun
        finally:
            if not wait:
                process.terminate()
            code = process.wait(30)
            if code:
                print(f"the service ended with {code}")


def serve_bundle_at(bundle, port, combine):
    from harness.deploy.bundle import read_bundle
    from harness.deploy.serve.server import bind_server_socket, run_http_server

    with bind_server_socket("127.0.0.1", port) as listener:
        run_http_server(read_bundle(bundle), listener, combine=combine)


def made(folder):
    """A bundle of XGBoost with its defaults, fitted to telco churn."""
    from harness.data.table import make_table
    from harness.deploy.bundle import BundleContents, write_bundle
    from harness.deploy.schema import describe_task_rows
    from harness.registry.registry import load_registry
    from harness.registry.space import defaults
    from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

    registry = load_registry()
    task = registry.task("telco_churn")
    raw = task.load(None)
    table = make_table(task, raw)
    recipe = PipelineSpec(registry.family("xgb"), (registry.strategy("none"),), task.modality, 2)
    fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(table.X, table.y, 1))
    about = {"task": task.name, "entry": "telco_churn/xgb/none/default", "title": task.title, "positive": "Yes"}
    about |= {"classes": list(table.classes), "threshold": 0.4, "calibration": "none", "versions": {}}
    write_bundle(folder, BundleContents(about, describe_task_rows(task, table), fitted, None, ""))
    return folder


def rows_of(bundle):
    """A thousand different rows that the bundle takes: values of its schema at random."""
    schema = json.loads((bundle / "schema.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(0)

    def value(one):
        if one["kind"] == "category":
            return str(rng.choice(one["levels"]))
        return round(float(rng.uniform(one["low"], one["high"])), 2)

    return [{one["name"]: value(one) for one in schema["features"]} for _ in range(1000)]


def as_json(rows):
    return json.dumps({"rows": rows}).encode()


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


if __name__ == "__main__":
    main()

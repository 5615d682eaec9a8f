"""A question answered in a process of its own, with the threads that a worker has.

The question comes as JSON on standard input. What is told meanwhile and, last, the answer go to standard output, one line of
JSON each; what libraries print is kept from both.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from harness.errors import EvenhandError
from harness.execution.engines.local import ONE_THREAD, SAFE_PATH

ProgressCallback: TypeAlias = Callable[[str], None]


def run_in_subprocess(
    module: str, question: Mapping[str, Any], doing: str, tell: ProgressCallback = lambda _: None
) -> Any:
    """What `python -m <module>` answers; what it tells on the way is passed on.

    Raises its `EvenhandError` again, or one that says how a process that was `doing` something ended without an answer.
    """
    command, own = [sys.executable, "-P", "-m", module], os.environ | ONE_THREAD | SAFE_PATH
    reply: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 -- a module of our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=own
        ) as process,
    ):
        assert process.stdin is not None  # noqa: S101 -- both were opened as pipes
        assert process.stdout is not None  # noqa: S101
        try:
            with suppress(BrokenPipeError):  # where it ended before it had read, its code says so below
                process.stdin.write(json.dumps(question).encode())
                process.stdin.close()
            for line in process.stdout:
                message = json.loads(line) if line.endswith(b"\n") else {}
                if "told" in message:
                    tell(message["told"])
                else:
                    reply = message
        except BaseException:  # Ctrl-C, or whoever is told has gone: nobody waits for the answer
            process.kill()
            raise
        code = process.wait()
        errors.seek(0)
        last = (errors.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    if "error" in reply:
        raise EvenhandError(reply["error"])
    if code or "answer" not in reply:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        raise EvenhandError(f"the process that {doing} ended with {how}: {last}")
    return reply["answer"]


def serve_subprocess(work: Callable[[dict[str, Any], ProgressCallback], Any]) -> None:
    """Answer the one question on standard input: what `work` makes of it, or the line that says what is wrong."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not end up in the answer
    warnings.simplefilter("ignore")

    def say(message: Mapping[str, Any]) -> None:
        try:
            answers.write(json.dumps(message) + "\n")
            answers.flush()
        except BrokenPipeError:  # who asked was killed; a search must not take that for a trial that fails
            raise SystemExit(1) from None

    try:
        say({"answer": work(json.loads(sys.stdin.read()), lambda told: say({"told": told}))})
    except EvenhandError as error:
        say({"error": str(error)})

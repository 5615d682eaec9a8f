"""Child processes: the one way to start, limit and end them.

A child is a module of this package, started as ``python -P -m <module>`` with one thread, in a session of its own. Parent and
child exchange messages, one line of JSON each; what libraries print in the child is kept out of them. A child ends when its
standard input closes, and with its parent, also where the parent is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import IO, Any, TypeAlias, TypeVar

from harness.errors import EvenhandError

#: Two processes of one thread beat one of two, and two of two threads are slower than either.
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        "1",
    ),
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_DETERMINISTIC_OPS": "1",
    "PYTHONHASHSEED": "0",
}
#: What a child process needs so that neither it nor what it starts imports a file from the current folder.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
#: prctl(2): the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
#: Characters of the last line on standard error that an exit reason quotes.
MAX_QUOTED = 300

Message: TypeAlias = dict[str, Any]
ProgressCallback: TypeAlias = Callable[[str], None]
Input = TypeVar("Input")
Output = TypeVar("Output")


class ChildProcess:
    """A module of this package that runs in a child process; as a context manager, it is killed at the end.

    Parameters
    ----------
    module : str
        Name of the module, which is run as ``__main__`` and talks to its parent by `ParentConnection`.

    Attributes
    ----------
    stdout : binary file
        The messages of the child, for use with `selectors`; `receive` reads them.
    peak_mb : float
        The largest resident memory that `memory_mb` has measured, in MB.
    """

    def __init__(self, module: str) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 -- a module of our own
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ | ONE_THREAD | SAFE_PATH,
            start_new_session=True,  # Ctrl-C reaches the parent only, and a kill reaches whatever the child started
        )
        assert self._process.stdout is not None  # noqa: S101 -- both were opened as pipes
        assert self._process.stdin is not None  # noqa: S101
        self.stdout, self._stdin = self._process.stdout, self._process.stdin
        self.peak_mb = 0.0

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; where the child has ended, `receive` and `exit_reason` say so."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()

    def receive(self) -> Message | None:
        """Wait for the next message; None where the child has ended instead."""
        line = self.stdout.readline()
        message: Message | None = json.loads(line) if line.endswith(b"\n") else None
        return message

    def memory_mb(self) -> float:
        """Resident memory of the child and of the processes that it started, in MB."""
        import psutil

        try:
            root = psutil.Process(self._process.pid)
            used = sum(process.memory_info().rss for process in [root, *root.children(recursive=True)]) / 1e6
        except psutil.NoSuchProcess:
            return 0.0
        self.peak_mb = max(self.peak_mb, used)
        return used

    def exit_reason(self) -> str:
        """Wait for the end of the child and say how it ended: signal or exit code, and its last line on standard error."""
        code = self._process.wait()
        ending = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{ending}: {lines[-1][:MAX_QUOTED]}" if lines else ending

    def wait(self) -> int:
        """Wait for the end of the child; returns its exit code, negative for a signal."""
        return self._process.wait()

    def kill(self) -> None:
        """Kill the child and whatever it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self._process.poll()
        self._process.wait()
        for stream in (self._stdin, self.stdout, self._stderr):
            with contextlib.suppress(BrokenPipeError):  # what was still to be sent is not read any more
                stream.close()


class ParentConnection:
    """The child's side: messages from the parent and to it.

    From here on standard output leads to standard error, so that whatever a library prints is not taken for a message, and
    the process ends when its standard input closes, whatever it is doing.
    """

    def __init__(self) -> None:
        _die_with_parent_thread()
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        warnings.simplefilter("ignore")
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()

    def receive(self) -> Message:
        """Wait for the next message of the parent."""
        message: Message = json.loads(self._lines.get())
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; ends the process where the parent has gone."""
        try:
            self._answers.write(json.dumps(message) + "\n")
            self._answers.flush()
        except BrokenPipeError:  # a search must not take that for a trial that fails
            raise SystemExit(1) from None

    def _read_lines(self) -> None:
        buffered = bytearray()
        while chunk := os.read(0, 65536):
            buffered += chunk
            if b"\n" in chunk:
                *lines, remainder = bytes(buffered).split(b"\n")
                buffered = bytearray(remainder)
                for line in lines:
                    self._lines.put(line)
        os._exit(1)


def run_in_subprocess(
    module: str, question: Mapping[str, Any], purpose: str, on_progress: ProgressCallback = lambda _: None
) -> Any:
    """Call a module that serves by `answer_parent_question`, in a process of its own.

    Parameters
    ----------
    module : str
        Name of the module.
    question : mapping
        What it is asked, as plain values for JSON.
    purpose : str
        What the process did, for the message where it ends without an answer: "exported from results/quick".
    on_progress : callable, optional
        Receives the progress messages.

    Returns
    -------
    object
        The answer, as plain values.

    Raises
    ------
    EvenhandError
        With the message of the child's own error, or with the way in which the child ended without an answer.
    """
    with ChildProcess(module) as child:
        child.send(question)
        return receive_child_answer(child, purpose, on_progress)


def receive_child_answer(child: ChildProcess, purpose: str, on_progress: ProgressCallback = lambda _: None) -> Any:
    """Wait for the answer of a child that serves by `answer_parent_question`; parameters and errors of `run_in_subprocess`."""
    reply: Message = {}
    while (message := child.receive()) is not None:
        if "told" in message:
            on_progress(message["told"])
        else:
            reply = message
    if "error" in reply:
        raise EvenhandError(reply["error"])
    if child.wait() or "answer" not in reply:
        raise EvenhandError(f"the process that {purpose} ended with {child.exit_reason()}")
    return reply["answer"]


def answer_parent_question(work: Callable[[Message, ProgressCallback], Any]) -> None:
    """Answer the one question of the parent, in the child.

    Parameters
    ----------
    work : callable
        Takes the question and a function for progress messages; returns the answer as plain values. An `EvenhandError` that it
        raises is raised again in the parent.
    """
    parent = ParentConnection()
    try:
        parent.send({"answer": work(parent.receive(), lambda text: parent.send({"told": text}))})
    except EvenhandError as error:
        parent.send({"error": str(error)})


def map_in_forks(function: Callable[[Input], Output], inputs: Sequence[Input], max_processes: int) -> Iterable[Output]:
    """Apply a function to each input in forked processes, for functions that cannot be sent to another process.

    Only the inputs and outputs are pickled. The calls are made here, one after another, where forking is not safe (no Linux,
    other threads) or where a process was killed, most likely for memory: there is more of it for one process.

    Parameters
    ----------
    function : callable
        Called with one input.
    inputs : sequence
        The inputs.
    max_processes : int
        The largest number of processes; there are no more than cores and inputs.

    Returns
    -------
    iterable
        The outputs in the order of the inputs.
    """
    processes = min(_forkable_cores(), max_processes, len(inputs))
    if processes > 1:
        start = (function, os.getpid())
        try:
            with ProcessPoolExecutor(processes, get_context("fork"), initializer=_start_fork, initargs=start) as pool:
                return list(pool.map(_call_in_fork, inputs))
        except BrokenProcessPool:  # a fork was killed, as for want of memory: one process needs less of it
            return map(function, inputs)
    return map(function, inputs)


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _forkable_cores() -> int:
    """The cores that forked processes can use: one where forking is not safe."""
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return usable_cores()


_fork_functions: list[Callable[[Any], Any]] = []  #: set in a forked process, which got it as it is in memory


def _start_fork(function: Callable[[Any], Any], parent: int) -> None:
    _die_with_parent_thread()
    if os.getppid() != parent:  # it ended before the kernel knew whom to tell
        os._exit(1)
    _fork_functions.append(function)


def _call_in_fork(argument: Any) -> Any:
    return _fork_functions[-1](argument)


def _die_with_parent_thread() -> None:
    """Have Linux kill this process when the thread that started it ends.

    The end of standard input is noticed by a thread, which needs the GIL; native code may hold it for long.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

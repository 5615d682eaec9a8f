"""Child processes end when they should: with their parent, with a kill of their group, and with a reason."""

import os
import subprocess
import sys
import textwrap

import psutil
import pytest
from conftest import wait_until

from harness.errors import EvenhandError
from harness.processes import ChildProcess, map_in_forks, run_in_subprocess

SERVER = """
import ctypes, os, subprocess, sys
from harness.errors import DataError
from harness.processes import answer_parent_question

def work(question, on_progress):
    print("a library prints")
    if question["task"] == "wait in native code":
        on_progress(str(os.getpid()))
        ctypes.PyDLL(None).pause()  # PyDLL keeps the GIL
    if question["task"] == "start another process":
        on_progress(str(subprocess.Popen(["sleep", "600"]).pid))
        ctypes.CDLL(None).pause()
    if question["task"] == "fail":
        raise DataError("no such rows")
    if question["task"] == "crash":
        sys.stderr.write("out of luck\\n")
        os._exit(7)
    return {"threads": os.environ["OMP_NUM_THREADS"], "length": len(question["task"])}

if __name__ == "__main__":
    answer_parent_question(work)
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A module that answers, waits or fails as it is asked."""
    (tmp_path / "a_server.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_server"


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_an_answer_comes_back_whatever_libraries_print(server):
    assert run_in_subprocess(server, {"task": "x" * 1_000_000}, "counted") == {"threads": "1", "length": 1_000_000}


def test_an_error_of_the_child_is_raised_in_the_parent(server):
    with pytest.raises(EvenhandError, match=r"^no such rows$"):
        run_in_subprocess(server, {"task": "fail"}, "failed")


def test_a_child_that_crashes_is_reported_with_exit_code_and_last_line(server):
    with pytest.raises(EvenhandError, match="the process that crashed ended with exit code 7: out of luck"):
        run_in_subprocess(server, {"task": "crash"}, "crashed")


def test_a_child_that_holds_the_gil_in_native_code_ends_with_its_killed_parent(server):
    parent_code = textwrap.dedent(
        f"""
        from harness.processes import ChildProcess
        with ChildProcess({server!r}) as child:
            child.send({{"task": "wait in native code"}})
            print(child.receive()["told"], flush=True)
            child.receive()
        """
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert not has_ended(pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: has_ended(pid))


def test_a_kill_reaches_what_the_child_started(server):
    with ChildProcess(server) as child:
        child.send({"task": "start another process"})
        pid = int(child.receive()["told"])
        assert not has_ended(pid)
        assert child.memory_mb() > 1
    wait_until(lambda: has_ended(pid))


def test_a_parent_that_fails_while_it_waits_leaves_no_child(server):
    pids = []

    def fail(text):
        pids.append(int(text))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_subprocess(server, {"task": "wait in native code"}, "waited", fail)
    wait_until(lambda: has_ended(pids[0]))


def test_forked_processes_give_the_outputs_in_order():
    offset = 10
    outputs = list(map_in_forks(lambda number: (number + offset, os.getpid()), range(6), 2))
    assert [number for number, _ in outputs] == [10, 11, 12, 13, 14, 15]


def test_where_a_forked_process_is_killed_the_parent_does_its_work():
    parent = os.getpid()

    def square(number):
        if os.getpid() != parent:
            os._exit(9)
        return number**2

    assert list(map_in_forks(square, range(4), 2)) == [0, 1, 4, 9]

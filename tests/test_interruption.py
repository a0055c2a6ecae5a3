"""What SIGINT and SIGTERM do to a process: real ones, sent to a small program."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest

from stages import interruption
from tests.repository import ROOT, environment

PRELUDE = """
import hashlib, os, signal, sys, time
from stages import interruption
from stages.command import call_or_exit

def rest():
    # In parts: a signal between Python's last look and the call of the system would be seen at the end of a sleep.
    for _ in range(600):
        time.sleep(0.1)

def sleep():
    print("ready", flush=True)
    rest()

def steps():
    with interruption.deferred():
        print("ready", flush=True)
        for step in range(1, 10_000):
            time.sleep(0.1)
            if interruption.requested():
                interruption.raise_if_requested(f"step {min(step, 1)} is kept")

def deaf():
    with interruption.deferred():
        print("ready", flush=True)
        rest()

def swallowing():
    print("ready", flush=True)
    while True:
        try:
            rest()
        except BaseException:
            pass

def native():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes without a moment for Python

with interruption.handled(grace=GRACE):
    call_or_exit("program", WHAT, debug=False)
"""


IN_A_TERMINAL = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # also where nohup runs the tests


@contextlib.contextmanager
def program(what, grace=20, before=IN_A_TERMINAL):
    """A process that is ready for signals."""
    code = before + PRELUDE.replace("GRACE", str(grace)).replace("WHAT", what)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def ending(process):
    """Exit status, and what it said last."""
    _, said = process.communicate(timeout=20)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_that_has_nothing_to_save_ends_at_once_in_a_line(number):
    with program("sleep") as process:
        process.send_signal(number)
        assert ending(process) == (128 + number, "program: interrupted; run it again\n")


def test_a_loop_saves_first_and_says_how_to_go_on():
    with program("steps") as process:
        process.send_signal(signal.SIGTERM)
        assert ending(process) == (143, "program: interrupted; step 1 is kept\n")


def test_a_signal_that_is_passed_on_by_others_too_is_one_and_a_later_one_ends_it_all_the_same():
    with program("deaf") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        time.sleep(2 * interruption._ECHO)  # a busy machine may be late, in hearing the first one and in ending
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert ending(process) == (130, "program: interrupted; run it again\n")


@pytest.mark.parametrize("what", ["native", "swallowing", "deaf"])
def test_what_does_not_hear_a_signal_ends_after_its_grace(what):
    with program(what, grace=1) as process:
        time.sleep(0.5)  # ready is said a moment before it is so
        process.send_signal(signal.SIGTERM)
        said = "not done 1 s after the signal: ended; what was saved before stays\n"
        assert ending(process) == (143, said)


def test_a_process_that_is_to_outlive_its_terminal_does():
    with program("sleep", before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None


def test_a_process_without_a_signal_is_left_as_it_was():
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with interruption.handled():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before

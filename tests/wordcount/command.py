"""Runs the wordcount under test, whose path is the script's first argument."""

import os
import re
import signal
import subprocess
import sys

BINARY = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else sys.exit("usage: script.py WORDCOUNT")

# A guard against a hang, not an expectation of speed.
HANG_GUARD = int(os.environ.get("WORDCOUNT_HANG_GUARD", "120"))

# Every behaviour holds for the pipeline, whatever its width, and for the plain loop.
WAYS = [("--sequential",), ("--jobs", "1"), ("--jobs", "2"), ("--jobs", "4"), ("--jobs", "8")]
ALL_WORDS = ("--top", "1000000000")


def usual_signals():
    """A test run may have been started with SIGINT ignored or blocked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def start(*args, binary=BINARY, **more):
    return subprocess.Popen([binary, *args], preexec_fn=usual_signals, **more)


def wordcount(*args, **more):
    """The finished process, with .stdout and .stderr as bytes."""
    result = subprocess.run([more.pop("binary", BINARY), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=HANG_GUARD, preexec_fn=usual_signals, **more)
    # A thread that waits for a processor for a second looks like a fiber that keeps its own.
    result.stderr = re.sub(rb"(?m)^.* has kept worker \d+ for \d+ ms without yielding; .*\n", b"", result.stderr)
    return result


def totals(stderr):
    """The last line on stderr as a dictionary; None when it is not the line of totals."""
    fields = rb"wordcount: (files=\d+ bytes=\d+ words=\d+ distinct=\d+ seconds=\d+\.\d{3})\r?\n\Z"
    last = re.search(fields, stderr)
    return last and dict(field.split("=") for field in last[1].decode().split())

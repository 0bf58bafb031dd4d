"""A time-out and Ctrl-C end the count: whole files only, the counts so far, the exit code."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest

import tree
from command import HANG_GUARD, WAYS, start, totals, wordcount


class Terminal:
    """A terminal for the program's stderr, so that its progress can be seen."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.output = b""
        self.deadline = time.monotonic() + HANG_GUARD

    def read_more(self):
        left = max(0, self.deadline - time.monotonic())
        ready, _, _ = select.select([self.master], [], [], left)
        if not ready:
            raise TimeoutError(f"the program goes on; its last words: {self.output[-300:]!r}")
        try:
            new = os.read(self.master, 65536)
        except OSError:  # EIO: the last user of the terminal has gone
            new = b""
        self.output += new
        return new

    def read_until(self, pattern):
        while not re.search(pattern, self.output):
            if not self.read_more():
                raise EOFError(f"no {pattern!r} in {self.output!r}")

    def read_all(self):
        os.close(self.slave)
        while self.read_more():
            pass
        os.close(self.master)


class Stop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wordcount-")
        self.addCleanup(folder.cleanup)
        self.small = os.path.join(folder.name, "small")
        self.endless = os.path.join(folder.name, "endless")
        tree.write(self.small, b"one two two")
        tree.make_endless_file(self.endless)

    def start_and_wait_for_progress(self, *args, **more):
        terminal = Terminal()
        process = start(*args, self.small, self.endless, stderr=terminal.slave, stdin=subprocess.DEVNULL, **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        # A lone worker may have begun with the endless file, any other way has counted the small one.
        terminal.read_until(rb"bytes [1-9]" if "1" in args else rb"files 1 ")
        return process, terminal

    def test_expired_timeout_counts_nothing(self):
        for way in WAYS:
            with self.subTest(way=way):
                result = wordcount(*way, "--timeout", "0ms", self.small)
                self.assertEqual((result.returncode, result.stdout), (124, b""), result.stderr)
                self.assertEqual(totals(result.stderr)["files"], "0")

    def test_timeout_ends_what_would_last_for_ever(self):
        for way in WAYS:
            with self.subTest(way=way):
                result = wordcount(*way, "--timeout", "100ms", self.small, self.endless)
                self.assertEqual(result.returncode, 124, result.stderr)
                self.check_whole_files(("1",), result.stdout, result.stderr)

    def check_whole_files(self, way, stdout, stderr):
        """The small file and nothing of the endless one; a lone worker may not have come to it."""
        none = [b""] if "1" in way else []
        self.assertIn(stdout, [b"2 two\n1 one\n", *none])
        self.assertEqual(totals(stderr)["files"], "1" if stdout else "0")

    def test_interrupt_prints_the_whole_files(self):
        for way in WAYS:
            with self.subTest(way=way):
                process, terminal = self.start_and_wait_for_progress(*way, stdout=subprocess.PIPE)
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=HANG_GUARD)
                terminal.read_all()
                self.assertEqual(process.returncode, 130, terminal.output)
                self.check_whole_files(way, output, terminal.output)

    def test_interrupt_beats_unreadable(self):
        for way in WAYS:
            with self.subTest(way=way):
                process, terminal = self.start_and_wait_for_progress(*way, "/dev/null", stdout=subprocess.PIPE)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=HANG_GUARD)
                terminal.read_all()
                self.assertEqual(process.returncode, 130)
                self.assertIn(b"'/dev/null'", terminal.output)

    def test_nothing_is_begun_after_the_timeout(self):
        """The plain loop reads in the order given, so it never reaches what follows the endless file."""
        result = wordcount("--sequential", "--timeout", "100ms", self.endless, self.small)
        self.assertEqual((result.returncode, result.stdout), (124, b""), result.stderr)

    def test_a_rate_lets_no_second_file_be_opened_before_its_time(self):
        paths = []
        for i in range(5):
            paths.append(f"{self.small}{i}")
            tree.write(paths[-1], b"one two two")
        result = wordcount("--rate", "1", "--timeout", "300ms", *paths)
        self.assertEqual(result.returncode, 124, result.stderr)
        self.assertIn(totals(result.stderr)["files"], ("0", "1"))

    def test_as_many_count_at_once_as_there_are_jobs(self):
        """Seven endless files keep seven workers for ever; the eighth counts the small file all the same."""
        others = [f"{self.endless}{i}" for i in range(2, 8)]
        for path in others:
            tree.make_endless_file(path)
        process, terminal = self.start_and_wait_for_progress("--jobs", "8", *others, stdout=subprocess.PIPE)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=HANG_GUARD)
        terminal.read_all()
        self.assertEqual((process.returncode, output), (130, b"2 two\n1 one\n"), terminal.output)

    def test_the_plain_loop_is_one_thread(self):
        process, terminal = self.start_and_wait_for_progress("--sequential", stdout=subprocess.DEVNULL)
        self.assertEqual(len(os.listdir(f"/proc/{process.pid}/task")), 1)
        process.send_signal(signal.SIGINT)
        terminal.read_all()

    def test_second_interrupt_kills(self):
        """Nobody reads the result, so the program cannot end otherwise; where there may be none, it can."""
        for way in (way for way in WAYS if "1" not in way):
            with self.subTest(way=way):
                reader, writer = os.pipe()
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
                os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
                process, terminal = self.start_and_wait_for_progress(*way, stdout=writer)
                os.close(writer)
                for _ in range(HANG_GUARD):
                    process.send_signal(signal.SIGINT)
                    try:
                        process.wait(timeout=1)
                        break
                    except subprocess.TimeoutExpired:
                        pass
                terminal.read_all()
                os.close(reader)
                self.assertEqual(process.returncode, -signal.SIGINT, terminal.output)


if __name__ == "__main__":
    unittest.main()

"""What goes wrong is named, with a remedy where the user can do something, and has its exit code."""

import errno
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import tree
from command import BINARY, HANG_GUARD, WAYS, totals, usual_signals, wordcount

NOBODY = 65534


class Errors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wordcount-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.file = os.path.join(self.root, "file")
        tree.write(self.file, b"one two two")

    def usage_error(self, *args, mentions, **more):
        result = wordcount(*args, **more)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, b"")
        for text in mentions:
            self.assertIn(text, result.stderr.decode())

    def one_unreadable(self, *args, mentions, **more):
        """Every way of counting names it, counts the file that can be read, and exits with 1."""
        for way in WAYS:
            with self.subTest(way=way):
                result = wordcount(*way, *args, **more)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertEqual(result.stdout, b"2 two\n1 one\n")
                self.assertEqual(totals(result.stderr)["files"], "1")
                self.assertEqual(len(result.stderr.splitlines()), 2, result.stderr)
                for text in mentions:
                    self.assertIn(text, result.stderr.decode().splitlines()[0])

    def test_help(self):
        result = wordcount("--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for option in (b"--jobs", b"--top", b"--timeout", b"--rate", b"--sequential", b"PATH"):
            self.assertIn(option, result.stdout)

    def test_wrong_options(self):
        self.usage_error("--frobnicate", self.file, mentions=["'--frobnicate'", "--jobs"])
        self.usage_error("-j", "4", self.file, mentions=["'-j'", "--jobs"])
        self.usage_error("--sequential=yes", self.file, mentions=["--sequential", "'yes'"])
        self.usage_error(self.file, "--jobs", mentions=["--jobs needs a value", "--jobs 4"])
        for jobs in ("0", "-1", "+1", "1.5", "four", "", " 4", "4 ", "1025", "99999999999999999999999"):
            self.usage_error("--jobs", jobs, self.file, mentions=["--jobs", f"'{jobs}'", "1 to 1024"])
        for top in ("0", "-3", "x", "99999999999999999999999"):
            self.usage_error(f"--top={top}", self.file, mentions=["--top", f"'{top}'", "--top 4"])
        for timeout in ("5", "", "s", "-1s", "1.5s", "1 s", "2 days", "2S", "1000001h", "9" * 30 + "s"):
            self.usage_error("--timeout", timeout, self.file, mentions=["--timeout", f"'{timeout}'", "500ms"])
        for rate in ("0", "-1", "1.5", "1000001", "fast"):
            self.usage_error("--rate", rate, self.file, mentions=["--rate", f"'{rate}'", "1 to 1000000"])
        self.usage_error("--rate", "5", "--sequential", self.file, mentions=["--rate", "--sequential"])

    def test_good_options(self):
        for timeout in ("1000000h", "60m", "3600s", "3600000ms", "3600000000us"):
            self.assertEqual(wordcount("--timeout", timeout, self.file).returncode, 0)
        self.assertEqual(wordcount("--rate=1000000", self.file).stdout, b"2 two\n1 one\n")
        self.assertEqual(wordcount("--jobs=1024", f"--top={2**64 - 1}", self.file).stdout, b"2 two\n1 one\n")

    def test_no_path(self):
        self.usage_error(mentions=["no PATH", "'.'"])
        self.usage_error("--jobs", "2", "--", mentions=["no PATH"])

    def test_path_that_does_not_exist(self):
        gone = os.path.join(self.root, "gone")
        os.symlink("gone", os.path.join(self.root, "dangling"))
        self.usage_error(self.file, gone, mentions=[f"'{gone}'", os.strerror(errno.ENOENT), "existing"])
        self.usage_error(os.path.join(self.root, "dangling"), mentions=["dangling"])
        self.usage_error(os.path.join(self.file, "below"), mentions=[os.strerror(errno.ENOTDIR)])
        self.usage_error("", mentions=["''"])
        self.usage_error("new\nline\x1b", cwd=self.root, mentions=["'new\\nline\\x1b'"])

    def test_given_path_that_is_no_file(self):
        fifo = os.path.join(self.root, "the fifo")
        os.mkfifo(fifo)
        self.one_unreadable(fifo, self.file, mentions=["the fifo", "regular file"])
        self.one_unreadable("/dev/null", self.file, mentions=["/dev/null", "regular file"])
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(self.root, "socket"))
        self.one_unreadable(os.path.join(self.root, "socket"), self.file, mentions=["socket", "regular file"])

    def test_read_that_fails(self):
        """Its first page is never mapped, so the read fails after the open has not."""
        if not os.path.exists("/proc/self/mem"):
            self.skipTest("no /proc")
        self.one_unreadable("/proc/self/mem", self.file, mentions=["/proc/self/mem", os.strerror(errno.EIO)])

    def test_path_that_cannot_be_resolved(self):
        long = os.path.join(self.root, "n" * 256)
        self.one_unreadable(long, self.file, mentions=["nnn", os.strerror(errno.ENAMETOOLONG)])
        os.symlink("loop", os.path.join(self.root, "loop"))
        self.one_unreadable(os.path.join(self.root, "loop"), self.file, mentions=[os.strerror(errno.ELOOP)])

    def as_nobody(self):
        """Arguments that make wordcount run without root's right to read everything."""
        if os.geteuid() != 0:
            return {}
        public = os.path.join(self.root, "bin")
        os.mkdir(public)
        os.chmod(self.root, 0o755)
        shutil.copy(BINARY, os.path.join(public, "wordcount"))
        user = {"binary": os.path.join(public, "wordcount"), "user": NOBODY, "group": NOBODY, "extra_groups": []}
        try:
            wordcount("--help", **user)
        except (OSError, subprocess.SubprocessError) as error:
            self.skipTest(f"cannot become another user: {error}")
        return user

    def test_no_permission(self):
        user = self.as_nobody()
        data = os.path.join(self.root, "data")
        os.mkdir(data)
        tree.write(os.path.join(data, "good"), b"one two two")
        for name in ("locked directory", "locked\nfile"):
            path = os.path.join(data, name)
            if "file" in name:
                tree.write(path, b"hidden")
            else:
                os.mkdir(path)
                tree.write(os.path.join(path, "file"), b"hidden")
            os.chmod(path, 0)
            reason = os.strerror(errno.EACCES)
            self.one_unreadable(data, mentions=[name.replace("\n", "\\n"), reason], **user)
            if "file" in name:
                good = os.path.join(data, "good")
                self.one_unreadable(path, good, mentions=["locked\\nfile", reason], **user)
            os.chmod(path, 0o700)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def test_result_that_cannot_be_written(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            result = subprocess.run([BINARY, self.file], stdout=full, stderr=subprocess.PIPE,
                                    timeout=HANG_GUARD, preexec_fn=usual_signals)
        self.assertEqual(result.returncode, 1)
        self.assertIn(os.strerror(errno.ENOSPC), result.stderr.decode())


if __name__ == "__main__":
    unittest.main()

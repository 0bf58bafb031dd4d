"""What wordcount prints equals what coreutils and Python count, whichever way it counts."""

import os
import tempfile
import unittest

import reference
import tree
from command import ALL_WORDS, BINARY, WAYS, totals, wordcount

SEED = int(os.environ.get("WORDCOUNT_SEED", "20240607"))


class Counts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wordcount-")
        self.addCleanup(folder.cleanup)
        self.root = os.path.join(folder.name, "root")
        os.mkdir(self.root)

    def check(self, expected, *args, code=0, **more):
        """Every way of counting prints `expected` and the same totals, which are returned."""
        seen = set()
        for way in WAYS:
            with self.subTest(way=way):
                result = wordcount(*way, *args, **more)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertTrue(result.stdout == expected, f"the counts differ: {result.stdout[:300]!r}")
                seen.add(tuple((k, v) for k, v in totals(result.stderr).items() if k != "seconds"))
        self.assertEqual(len(seen), 1, seen)
        return {key: int(value) for key, value in seen.pop()}

    def test_odd_tree_as_coreutils(self):
        print(f"seed {SEED} (WORDCOUNT_SEED)")
        tree.make_odd_tree(self.root, SEED)
        expected, files, size, words, distinct = reference.walk_and_count(self.root)
        self.assertTrue(expected == reference.coreutils(self.root), "the references disagree")
        self.assertEqual(self.check(expected, *ALL_WORDS, self.root),
                         {"files": files, "bytes": size, "words": words, "distinct": distinct})
        self.check(b"".join(expected.splitlines(keepends=True)[:10]), self.root)
        self.check(b"".join(expected.splitlines(keepends=True)[:3]), "--top=3", self.root)

    def test_wide_tree(self):
        tree.make_wide_tree(self.root, 3000, SEED)
        expected, files, size, words, distinct = reference.walk_and_count(self.root)
        self.assertEqual(self.check(expected, *ALL_WORDS, self.root),
                         {"files": files, "bytes": size, "words": words, "distinct": distinct})

    def test_paths_longer_than_the_kernel_takes(self):
        depth = 300  # names of 20 bytes with the slash
        tree.make_deep_tree(self.root, depth)
        expected = b"%d deep\n" % depth + b"".join(b"30 level_%d\n" % i for i in range(10))
        self.assertEqual(self.check(expected, *ALL_WORDS, self.root)["files"], depth)

    def test_equal_counts_in_byte_order(self):
        tree.write(os.path.join(self.root, "f"), b"b a B A _ 1 aa a_ z z 10 " + b"z" * 300)
        self.check(b"2 z\n1 1\n1 10\n1 A\n1 B\n1 _\n1 a\n1 a_\n1 aa\n1 b\n", self.root)

    def test_words_do_not_join_across_files(self):
        for name in ("a", "b", "c"):
            tree.write(os.path.join(self.root, name), b"word")
        self.check(b"3 word\n", self.root)

    def test_word_across_every_chunk_border(self):
        content = b"x" * (2 * tree.CHUNK + 1) + b" y"
        tree.write(os.path.join(self.root, "f"), content)
        self.check(b"1 " + b"x" * (2 * tree.CHUNK + 1) + b"\n1 y\n", self.root)

    def test_nothing_to_count(self):
        self.assertEqual(self.check(b"", self.root), {"files": 0, "bytes": 0, "words": 0, "distinct": 0})
        tree.write(os.path.join(self.root, "empty"), b"")
        self.assertEqual(self.check(b"", self.root), {"files": 1, "bytes": 0, "words": 0, "distinct": 0})

    def test_every_given_path_counts(self):
        tree.write(os.path.join(self.root, "f"), b"one two")
        inside = os.path.join(self.root, "f")
        self.check(b"3 one\n3 two\n", inside, self.root, self.root + "//")

    def test_links_are_followed_only_where_given(self):
        os.mkdir(os.path.join(self.root, "directory"))
        tree.write(os.path.join(self.root, "directory", "file"), b"word")
        for target, link in (("directory", "to_directory"), ("directory/file", "to_file")):
            os.symlink(target, os.path.join(self.root, link))
        self.check(b"1 word\n", self.root)
        self.check(b"1 word\n", os.path.join(self.root, "to_directory"))
        self.check(b"1 word\n", os.path.join(self.root, "to_file"))

    def test_names_that_look_like_options(self):
        for name in (b"--top", b"-rf", b"-", b"--", b"plain"):
            tree.write(os.path.join(os.fsencode(self.root), name), b"word")
        self.check(b"5 word\n", "--", "--top", "-rf", "-", "--", "plain", cwd=self.root)
        self.check(b"2 word\n", "-", "plain", cwd=self.root)
        self.check(b"2 word\n", "plain", "--top", "1", "-", cwd=self.root)

    def test_tree_that_changes_while_it_is_counted(self):
        """What stays is counted, what comes and goes may be, and nobody waits for a FIFO."""
        tree.make_wide_tree(self.root, 300, SEED)
        for i in range(300):
            tree.write(os.path.join(self.root, "wide", f"stays{i}"), b"stays " * i)
        with tree.Unrest(self.root, SEED):
            for way in 4 * WAYS:
                with self.subTest(way=way):
                    result = wordcount(*way, *ALL_WORDS, self.root)
                    self.assertIn(result.returncode, (0, 1), result.stderr)
                    self.assertIn(b"%d stays\n" % sum(range(300)), result.stdout)
                    complaints = result.stderr.splitlines()[:-1]
                    self.assertEqual(bool(complaints), result.returncode == 1, result.stderr)
                    for complaint in complaints:
                        self.assertRegex(complaint, rb"^wordcount: cannot read '.*unrest")

    def test_files_that_tell_no_size(self):
        """Those of /proc are regular files of size 0 that have content."""
        if not os.path.exists("/proc/self/comm"):
            self.skipTest("no /proc")
        name = os.fsencode(os.path.basename(BINARY))[:15]
        self.check(reference.lines(reference.words_of(name)), "/proc/self/comm")


if __name__ == "__main__":
    unittest.main()

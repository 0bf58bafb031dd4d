"""The expected counts, by two means that share nothing with the program: coreutils, and Python's re."""

import collections
import os
import re
import stat
import subprocess

PIPELINE = r"""
find "$1" -type f -exec sh -c 'for f; do tr -cs A-Za-z0-9_ "\n" <"$f"; echo; done' sh {} + |
  grep -a . | sort | uniq -c | awk '{ print $1, $2 }' | sort -k1,1nr -k2,2
"""


def coreutils(tree):
    """The lines that wordcount prints for every word of the tree."""
    result = subprocess.run(["sh", "-c", PIPELINE, "sh", tree], stdout=subprocess.PIPE, check=True,
                            env={**os.environ, "LC_ALL": "C"})
    return result.stdout


def words_of(content):
    return collections.Counter(re.findall(rb"[A-Za-z0-9_]+", content))


def lines(counter):
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return b"".join(b"%d %s\n" % (count, word) for word, count in ordered)


def walk_and_count(tree):
    """As coreutils, for trees whose paths are too long to open at once: (lines, files, bytes, words, distinct)."""
    counter, files, size = collections.Counter(), 0, 0
    for _, _, names, directory in os.fwalk(os.fsencode(tree), follow_symlinks=False):
        for name in names:
            if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                continue
            with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as file:
                content = file.read()
            counter += words_of(content)
            files, size = files + 1, size + len(content)
    return lines(counter), files, size, sum(counter.values()), len(counter)

#!/usr/bin/env python3
"""Checks that atomics go through the shim, and that every memory order is explained.

Outside include/runnel/base/atomic.hpp there is no std::atomic and no compiler builtin. An operation that names
an order carries a comment: on a line of the operation itself, or on one of the three lines above it with no
empty line between. There is no thread_local in a public header.
"""
import re

import cpp_source

SHIM = "include/runnel/base/atomic.hpp"
RAW_ATOMIC = re.compile(r"\bstd::atomic\w*|\b__atomic_\w+|\b__sync_\w+|<atomic>|<stdatomic\.h>")
OPERATION = re.compile(
    r"(?:\.|->)\s*(?:load|store|exchange|compare_exchange\w*|fetch_\w+|test_and_set|wait)\s*\(|\bfence\s*\(")
THREAD_LOCAL = re.compile(r"\bthread_local\b|\b__thread\b")
LINES_ABOVE = 3


def end_of_call(code, opening):
    depth = 0
    for position in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return len(code)


def explained(lines, comments, first, last):
    if any(number in comments for number in range(first, last + 1)):
        return True
    for number in range(first - 1, max(0, first - 1 - LINES_ABOVE), -1):
        if not lines[number - 1].strip():
            return False
        if number in comments:
            return True
    return False


def check(root):
    for path in cpp_source.sources(root):
        if str(path) == SHIM:
            continue
        text = (root / path).read_text()
        code = cpp_source.code_only(text)
        for match in RAW_ATOMIC.finditer(code):
            yield f"{path}:{cpp_source.line_of(code, match.start())}: {match[0]}: use runnel's shim::atomic"
        if path.parts[0] == "include":
            for match in THREAD_LOCAL.finditer(code):
                yield (f"{path}:{cpp_source.line_of(code, match.start())}: {match[0]} in a public header: "
                       "its address would be cached across a suspension")
        lines, comments = text.splitlines(), cpp_source.comment_lines(text)
        for match in OPERATION.finditer(code):
            end = end_of_call(code, match.end() - 1)
            if not re.search(r"\border::\w+|\bmemory_order", code[match.end():end]):
                continue
            first, last = cpp_source.line_of(code, match.start()), cpp_source.line_of(code, end)
            if not explained(lines, comments, first, last):
                yield f"{path}:{first}: no comment says why this memory order is enough and what it pairs with"


if __name__ == "__main__":
    cpp_source.run(check, __doc__)

#!/usr/bin/env python3
"""Checks that no function of runnel touches thread-local storage, except the accessors named for it.

A fiber may resume on another thread, and compilers compute a thread's addresses once in a function: an address
taken before a suspension would belong to the wrong thread after it. So only the functions listed in
tools/tls_accessors.txt, which are never inlined and never suspend, may contain a thread-relative access or a
call that returns a thread's address (__tls_get_addr, __errno_location).
"""
import argparse
import pathlib
import re
import subprocess
import sys

import demangled

HERE = pathlib.Path(__file__).resolve().parent
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
# %fs:0x28 is the stack protector's canary, which is the same on all threads.
THREAD_ACCESS = re.compile(r"%fs:(?!0x28\b)|\btpidr_el0\b|<(?:__tls_get_addr|__errno_location)(?:@[^>]*)?>")


def accessors():
    """Names of the functions that are allowed; each line of the file is `NAME : REASON`."""
    lines = (HERE / "tls_accessors.txt").read_text().splitlines()
    return {line.split(" : ")[0].strip() for line in lines if line.strip() and not line.startswith("#")}


def violations(binary, allowed):
    """How many functions of runnel were looked at, and each (function, instruction) found."""
    listing = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", binary], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    function, seen, found = None, 0, []
    for line in listing.splitlines():
        if match := FUNCTION.match(line):
            name = demangled.function_name(match[1])
            function = name if name.startswith("runnel::") and name not in allowed else None
            seen += name.startswith("runnel::")
        elif function and THREAD_ACCESS.search(line):
            found.append((function, line.strip()))
    return seen, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binaries", nargs="+", metavar="BINARY")
    parser.add_argument("--expect", action="append", metavar="FUNCTION",
                        help="pass if exactly the functions given are found: the check of this check")
    arguments = parser.parse_args()
    allowed, failed = accessors(), False
    for binary in arguments.binaries:
        seen, found = violations(binary, allowed)
        for function, instruction in found:
            print(f"{binary}: {function}: {instruction}")
        print(f"{binary}: {seen} functions of runnel")  # none: nothing was checked
        expected = set(arguments.expect or ())
        failed |= seen == 0 or {function for function, _ in found} != expected
    if failed:
        sys.exit("expected violations in: " + (", ".join(arguments.expect) if arguments.expect else "none"))


if __name__ == "__main__":
    main()

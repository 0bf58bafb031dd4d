#!/usr/bin/env python3
"""Checks that the library of the tsan build is not instrumented and shares no function with the program.

check_tsan_objects.py ARCHIVE...

An instrumented scheduler would order fibers that the program does not order. A weak function would be merged
with the program's instrumented copy, so that one of the two runs the wrong one (see cmake/localize_weak.sh).
Weak data (vtables, typeinfo) is not code.
"""
import re
import subprocess
import sys

INSTRUMENTED = re.compile(r"^ +U (__tsan_(?:read|write|unaligned|func|atomic|vptr|mem)\w*)$")
WEAK = re.compile(r"^[0-9a-f]+ W (.+)$")

listing = subprocess.run(["nm", "-C", *sys.argv[1:]], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
calls = sorted({match[1] for line in listing if (match := INSTRUMENTED.match(line))})
weak = sorted({match[1] for line in listing if (match := WEAK.match(line))})
print(*calls, *weak, sep="\n")
if calls:
    sys.exit(f"the library is instrumented: it calls {len(calls)} function(s) of the race detector")
if weak:
    sys.exit(f"{len(weak)} weak function(s) would be merged with the program's")

#!/usr/bin/env python3
"""Checks that a file does not compile, for the right reason: negative_compile.py FILE -- COMPILER [FLAG...]

The file's first line is `// expect: REGEX`: some diagnostic must match it. With RUNNEL_NEGATIVE_CONTROL
defined the file must compile, so that nothing but the guarded lines can be what fails.
"""
import re
import subprocess
import sys


def compiles(command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run.returncode == 0, run.stdout


source, separator, *compiler = sys.argv[1:]
assert separator == "--", __doc__
with open(source) as file:
    expect = re.fullmatch(r"// expect: (.+)\n", file.readline())
if not expect:
    sys.exit(f"{source}:1: the first line must be `// expect: REGEX`")

compile_source = [*compiler, "-c", source, "-o", "/dev/null"]
ok, output = compiles([*compile_source, "-DRUNNEL_NEGATIVE_CONTROL"])
if not ok:
    sys.exit(f"{output}\n{source}: does not compile with RUNNEL_NEGATIVE_CONTROL either")
ok, output = compiles(compile_source)
if ok:
    sys.exit(f"{source}: compiles, but must not")
diagnostics = [line for line in output.splitlines() if re.search(r"error:|static assertion", line)]
if not any(re.search(expect[1], line) for line in diagnostics):
    sys.exit(f"{output}\n{source}: no error matches /{expect[1]}/")

#!/usr/bin/env python3
"""Runs a program and compares its standard output with a file: compare_output.py EXPECTED PROGRAM [ARG...]"""
import difflib
import pathlib
import subprocess
import sys

expected_file, *command = sys.argv[1:]
expected = pathlib.Path(expected_file).read_text()
run = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
if run.stdout != expected:
    sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), run.stdout.splitlines(True),
                                               expected_file, "output"))
    sys.exit("the output differs")
if run.returncode != 0:
    sys.exit(f"exit status {run.returncode}")

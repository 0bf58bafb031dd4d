#!/usr/bin/env python3
"""Passes only if ThreadSanitizer reports a data race in a program: expect_race.py PROGRAM SOURCE

The report must name a line of SOURCE: another race would not show that this one is seen.
"""
import subprocess
import sys

program, source = sys.argv[1:]
run = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                     text=True, errors="replace")
print(run.stdout)
if "WARNING: ThreadSanitizer: data race" not in run.stdout:
    sys.exit(f"ThreadSanitizer is blind to the race in {source}")
if f"{source}:" not in run.stdout:
    sys.exit(f"the race reported is not the one in {source}")
if run.returncode == 0:
    sys.exit("a race was reported, but the exit status is 0")

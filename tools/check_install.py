#!/usr/bin/env python3
"""Installs a build into an empty prefix, then configures, builds and runs a project that uses find_package.

A project that links runnel::runnel and runnel::explore into one program must be refused.
"""
import argparse
import pathlib
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--build", required=True, help="the build tree to install")
parser.add_argument("--consumer", required=True, help="the project that consumes it")
parser.add_argument("--cxx", required=True, help="the compiler of the build tree")
parser.add_argument("--generator", required=True)
arguments = parser.parse_args()


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as folder:
    prefix, build = f"{folder}/prefix", f"{folder}/build"
    run("cmake", "--install", arguments.build, "--prefix", prefix)
    configure = ["cmake", "-S", arguments.consumer, "-B", build, "-G", arguments.generator,
                 f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={arguments.cxx}"]
    run(*configure)
    run("cmake", "--build", build)
    for program in ("consumer", "consumer_explores"):
        output = subprocess.run([f"{build}/{program}"], check=True, text=True, stdout=subprocess.PIPE).stdout
        assert output == "42\n", output
    for how in ("target", "dependency"):
        mixed = subprocess.run([*configure, f"-DCONSUMER_MIXES={how}"], stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert mixed.returncode != 0 and "RUNNEL_FLAVOUR" in mixed.stdout, mixed.stdout

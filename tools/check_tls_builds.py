#!/usr/bin/env python3
"""Runs check_tls.py on the whole library as optimisers see it: at -O3, without and with link-time optimisation.

check_tls_builds.py [COMPILER...]     default: g++ clang++
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", f"-I{ROOT}/include", f"-I{ROOT}/src"]


def build(compiler, lto, folder):
    sources = sorted([*ROOT.glob("src/**/*.cpp"), *ROOT.glob("src/**/*.S"), ROOT / "tests/tls/tls_probe.cpp"])
    objects = [folder / f"{number}_{source.stem}.o" for number, source in enumerate(sources)]

    def compile_one(source, target):
        subprocess.run([compiler, *FLAGS, *lto, "-c", source, "-o", target], check=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    linker = ["-fuse-ld=lld"] if lto and "clang" in compiler else []
    subprocess.run([compiler, "-O3", *lto, *linker, *objects, "-pthread", "-o", folder / "probe"], check=True)
    return folder / "probe"


def main():
    failed = False
    for compiler in sys.argv[1:] or ["g++", "clang++"]:
        for lto in ([], ["-flto" if "clang" in compiler else "-flto=auto"]):
            with tempfile.TemporaryDirectory() as folder:
                print(compiler, "-O3", *lto, flush=True)
                probe = build(compiler, lto, pathlib.Path(folder))
                failed |= subprocess.run([sys.executable, ROOT / "tools/check_tls.py", probe]).returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")

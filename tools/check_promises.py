#!/usr/bin/env python3
"""Checks that what the project promises is there: the catalogue of what it offers, and what becomes of each pitfall.

 - tools/catalogue.txt: `ID | what | tests | example | page`, or `ID | what | later: REASON`.
 - tools/pitfalls.txt: `pitfall | verdict | what happens | tests`. docs/guide/pitfalls.md holds the table made of it; --write
   writes it anew.

A test is `suite.name` of a GoogleTest in tests/, or the path of a program below tests/ without its ending; several are
separated by commas. An example has its expected output beside it. No id of the catalogue is left out.
"""
import pathlib
import re
import sys

import cpp_source

IDS = {"A": 8, "B": 6, "C": 10, "D": 13, "E": 3, "F": 7, "G": 1}
VERDICTS = {
    "impossible": "impossible",
    "compile error": "compile error",
    "thrown": "thrown where it happens",
    "reported": "reported",
    "reviewer": "for a reviewer",
}
TEST = re.compile(r"^TEST(?:_[PF])?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)
BEGIN, END = "<!-- the table: tools/check_promises.py --write -->\n", "<!-- end of the table -->\n"


def tests_of(root):
    """{suite.name or path without ending: path}."""
    found = {}
    for path in sorted((root / "tests").rglob("*.cpp")):
        name = path.relative_to(root / "tests")
        found[str(name.with_suffix(""))] = name
        for suite, test in TEST.findall(path.read_text()):
            found[f"{suite}.{test}"] = name
    return found


def rows(path):
    for number, line in cpp_source.data_lines(path):
        yield f"{path.name}:{number}", [field.strip() for field in line.split("|")]


def missing_tests(where, field, tests):
    for name in filter(None, (part.strip() for part in field.split(","))):
        if name not in tests:
            yield f"{where}: there is no test {name}"


def catalogue(root, tests):
    seen = []
    for where, fields in rows(root / "tools/catalogue.txt"):
        seen.append(fields[0])
        if len(fields) == 3 and re.match(r"later: \w", fields[2]):
            continue
        if len(fields) != 5 or not all(fields):
            yield f"{where}: not understood"
            continue
        yield from missing_tests(where, fields[2], tests)
        if not (root / fields[3]).with_suffix(".expected").is_file() and not (root / fields[3] / "main.cpp").is_file():
            yield f"{where}: there is no example {fields[3]} with its expected output"
        if not (root / fields[4].partition("#")[0]).is_file():
            yield f"{where}: there is no page {fields[4]}"
    wanted = [f"{letter}{number}" for letter, count in IDS.items() for number in range(1, count + 1)]
    for name in sorted(set(wanted) ^ set(seen)) + sorted(name for name in set(seen) if seen.count(name) > 1):
        yield f"catalogue.txt: {name} is missing, unknown, or there twice"


def pitfalls(root, tests):
    for where, fields in rows(root / "tools/pitfalls.txt"):
        if len(fields) != 4 or fields[1] not in VERDICTS or not fields[2]:
            yield f"{where}: not understood"
        elif not fields[3] and fields[1] != "reviewer":
            yield f"{where}: shown by no test"
        else:
            yield from missing_tests(where, fields[3], tests)


def table(root, tests):
    lines = ["| pitfall | verdict | what happens | shown by |\n", "|---|---|---|---|\n"]
    for _, (pitfall, verdict, happens, field) in rows(root / "tools/pitfalls.txt"):
        names = [name.strip() for name in field.split(",") if name.strip()]
        links = [f"[{re.sub('_', ' ', name.rpartition('.')[2].rpartition('/')[2])}](../../tests/{tests[name]})" for name in names]
        lines.append(f"| {pitfall} | {VERDICTS[verdict]} | {happens} | {', '.join(links) or 'nothing yet'} |\n")
    return "".join(lines)


def check(root, write=False):
    tests = tests_of(root)
    violations = [*catalogue(root, tests), *pitfalls(root, tests)]
    if not violations:
        page = root / "docs/guide/pitfalls.md"
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        fresh = before + begin + table(root, tests) + end + after
        if write:
            page.write_text(fresh)
        elif not begin or not end or fresh != page.read_text():
            violations.append("docs/guide/pitfalls.md: not what tools/pitfalls.txt says: tools/check_promises.py --write")
    yield from violations


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        sys.exit("\n".join(check(pathlib.Path(__file__).resolve().parent.parent, write=True)))
    cpp_source.run(check, __doc__)

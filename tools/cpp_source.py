"""Reads C++ files for the checks: the code without its comments and strings, and the comments alone."""
import argparse
import pathlib
import re
import sys

SUFFIXES = {".hpp", ".cpp", ".S"}

# One alternative for each kind of text that is not code; a raw string ends at its own delimiter.
_NOT_CODE = re.compile(
    r"""(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)
      | (?P<raw>R"(?P<delimiter>[^()\\\s]*)\(.*?\)(?P=delimiter)")
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*')
      | (?P<include>^[ \t]*\#[ \t]*include[^\n]*)""",
    re.DOTALL | re.VERBOSE | re.MULTILINE)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments and the contents of literals blanked; lines keep their numbers."""

    def replace(match):
        if match["include"]:
            return re.sub(r"//.*|/\*.*", lambda comment: _blank(comment[0]), match[0])
        return _blank(match[0])

    return _NOT_CODE.sub(replace, text)


def comment_lines(text):
    """The numbers (from 1) of the lines that hold a part of a comment with words in it."""
    lines = set()
    for match in _NOT_CODE.finditer(text):
        if match["comment"]:
            first = text.count("\n", 0, match.start()) + 1
            for offset, line in enumerate(match[0].split("\n")):
                if re.search(r"\w{2}", line):
                    lines.add(first + offset)
    return lines


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def sources(root):
    """The library's files, as paths relative to the root, sorted."""
    return sorted(path.relative_to(root) for folder in ("include/runnel", "src")
                  for path in (root / folder).rglob("*") if path.suffix in SUFFIXES)


def data_lines(path):
    """The lines of a data file that are neither empty nor a comment: (number, line)."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def run(check, description):
    """Runs check(root), which yields violations, and ends the process with the verdict."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the tree to check")
    violations = list(check(parser.parse_args().root))
    for violation in violations:
        print(violation)
    sys.exit(f"{len(violations)} violation(s)" if violations else 0)

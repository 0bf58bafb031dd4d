#!/usr/bin/env python3
"""Checks that every option stands in tests/options.txt, with a change that ignores it and the test that then fails.

An option is a field of a public struct named *_options or *_policy (STRUCT.FIELD), a value of an enum that such a field has
(ENUM::VALUE), an option of wordcount (wordcount --OPTION), or a parameter, of which the list is not checked
(FUNCTION(PARAMETER)). An entry:

STRUCT.FIELD : what happens instead      (the part behind the colon tells entries of one option apart)
  FILE
  @ a line's part that stands once in the file: the change is made behind it (may be left out)
  - what is replaced, a part of a line; without @ it stands once in the file
  + by what
  ! SUITE.TEST that fails then, or FILE.py Class.test below tests/

tools/mutate_options makes the changes. This only looks whether they can be made.
"""
import dataclasses
import pathlib
import re

import cpp_source
from check_promises import tests_of

LIST = "tests/options.txt"
PROGRAM, ARGUMENTS = "wordcount", "examples/wordcount/args.cpp"
STRUCT = re.compile(r"^(?:template <[^\n]*>\n)?struct (\w+_(?:options|policy)) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (?!static)([^\n=;]*[^\s=;])[ ]+(\w+) *(?:=[^\n]*)?;", re.MULTILINE)
ENUM = re.compile(r"^enum class (\w+)[^{;]*\{([^}]*)\}", re.MULTILINE)
NAME = re.compile(r"(\w+\.\w+|\w+::\w+|\w+ --\w+|[\w:]+\(\w+\))(?: : \S.*)?")
MARKS = {"@": "behind", "-": "text", "+": "instead", "!": "test"}


@dataclasses.dataclass
class Entry:
    line: int
    name: str
    file: str = ""
    behind: str = ""
    text: str = ""
    instead: str = ""
    test: str = ""

    @property
    def option(self):
        return self.name.partition(" : ")[0]

    def place(self, content):
        """Where the change is made; raises ValueError with the reason why it cannot be."""
        start = 0
        if self.behind:
            if content.count(self.behind) != 1:
                raise ValueError(f"{self.file} has {content.count(self.behind)} times `{self.behind}`")
            start = content.index(self.behind)
        elif content.count(self.text) != 1:
            raise ValueError(f"{self.file} has {content.count(self.text)} times `{self.text}`")
        at = content.find(self.text, start)
        if at < 0:
            raise ValueError(f"{self.file} has no `{self.text}` behind `{self.behind}`")
        return at

    def applied(self, content):
        at = self.place(content)
        return content[:at] + self.instead + content[at + len(self.text):]


def entries(root):
    """All entries; raises ValueError for a line that is not understood."""
    found = []
    for number, line in enumerate((root / LIST).read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        mark, _, rest = line.strip().partition(" ")
        if not line.startswith(" ") and NAME.fullmatch(line):
            found.append(Entry(number, line))
        elif found and not found[-1].file and not rest:
            found[-1].file = mark
        elif found and found[-1].file and mark in MARKS and not getattr(found[-1], MARKS[mark]):
            setattr(found[-1], MARKS[mark], rest)
        else:
            raise ValueError(f"{LIST}:{number}: not understood")
    return found


def options(root):
    """The names that must stand in the list."""
    texts = [cpp_source.code_only(path.read_text()) for path in sorted((root / "include/runnel").rglob("*.hpp"))]
    enums = {name: re.findall(r"\b([a-z]\w*)\b", values) for text in texts for name, values in ENUM.findall(text)}
    found = set()
    for text in texts:
        for match in STRUCT.finditer(text):
            if re.findall(r"^namespace .*", text[:match.start()], re.MULTILINE)[-1].endswith("detail {"):
                continue
            for kind, field in FIELD.findall(match[2]):
                found.add(f"{match[1]}.{field}")
                enum = kind.rpartition("::")[2]
                found.update(f"{enum}::{value}" for value in enums.get(enum, []))
    found.update(f"{PROGRAM} {option}" for option in re.findall(r'name == "(--\w+)"', (root / ARGUMENTS).read_text()))
    return found


def test_exists(root, tests, name):
    file, _, test = name.partition(" ")
    if not test:
        return file in tests
    if not (root / "tests" / file).is_file():
        return False
    suite, _, method = test.partition(".")
    text = (root / "tests" / file).read_text()
    return f"class {suite}(" in text and f"def {method}(self" in text


def check(root):
    try:
        listed = entries(root)
    except ValueError as e:
        yield str(e)
        return
    wanted, tests = options(root), tests_of(root)
    names = [e.name for e in listed]
    for e in listed:
        where = f"{LIST}:{e.line}: {e.name}: "
        if not e.option.endswith(")") and e.option not in wanted:
            yield where + "there is no such option"
        if names.count(e.name) > 1:
            yield where + "stands there twice"
        if not (e.file and e.text and e.test) or e.text == e.instead or not (root / e.file).is_file():
            yield where + "names no file, no text, no test, or changes nothing"
            continue
        try:
            e.place((root / e.file).read_text())
        except ValueError as reason:
            yield where + str(reason)
        if not test_exists(root, tests, e.test):
            yield where + f"there is no test {e.test}"
    for name in sorted(wanted - {e.option for e in listed}):
        yield f"{LIST}: {name} is missing: no test is known to fail when it is ignored"


if __name__ == "__main__":
    cpp_source.run(check, __doc__)

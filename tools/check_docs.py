#!/usr/bin/env python3
"""Checks the documentation: snippets are parts of programs that run, links lead somewhere, no file is forgotten.

 - A ```cpp block whose first line is `// examples/NAME.cpp` stands in that file, but for its indentation.
 - A relative link of README.md, CHANGELOG.md and docs/ names a file, and a heading of it where it has a #fragment.
 - docs/guide mentions every public header; docs/internals every other header and every file of src/ (`sched/timer.cpp`,
   or `sched/timer.*` for all files of that name).
"""
import re
import textwrap

import cpp_source

INNER = {"base", "detail", "fiber", "sched"}  # folders of headers that users do not include
BLOCK = re.compile(r"^(?P<indent>[ \t]*)```(?P<language>\w*)\n(?P<text>.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
SOURCE = re.compile(r"// (examples/\S+\.[ch]pp)$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+[ \t]+(.*)$", re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")


def lines_of(text):
    return [line.rstrip() for line in textwrap.dedent(text).strip("\n").split("\n")]


def stands_in(snippet, program):
    """Whether the lines stand in the program one after the other, at any indentation."""
    wanted, lines = lines_of(snippet), program.split("\n")
    return any(lines_of("\n".join(lines[i:i + len(wanted)])) == wanted for i in range(len(lines)))


def snippets(root, page, text):
    for block in BLOCK.finditer(text):
        first, _, rest = block["text"].partition("\n")
        source = SOURCE.match(first.strip())
        if block["language"] != "cpp" or not source:
            continue
        where = f"{page}:{cpp_source.line_of(text, block.start())}"
        program = root / source[1]
        if not program.is_file():
            yield f"{where}: there is no {source[1]}"
        elif not stands_in(rest, program.read_text()):
            yield f"{where}: the snippet is not a part of {source[1]}"


def anchors(text):
    """The fragments by which the headings of a page can be reached."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in HEADING.findall(BLOCK.sub("", text))}


def links(root, page, text):
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])

    prose = INLINE_CODE.sub(blank, BLOCK.sub(blank, text))
    for link in LINK.finditer(prose):
        name, _, fragment = link[1].partition("#")
        if re.match(r"[a-z]+:", link[1]):
            continue
        where = f"{page}:{cpp_source.line_of(prose, link.start())}"
        target = (root / page).parent / name if name else root / page
        if not target.exists():
            yield f"{where}: the link {link[1]} leads nowhere"
        elif fragment and (not target.is_file() or fragment not in anchors(target.read_text())):
            yield f"{where}: {name or page} has no heading #{fragment}"


def all_text(folder):
    return "\n".join(page.read_text() for page in sorted(folder.rglob("*.md")))


def forgotten(root):
    guide, internals = all_text(root / "docs/guide"), all_text(root / "docs/internals")
    for path in cpp_source.sources(root):
        parts = path.parts
        if parts[0] == "src":
            name = path.relative_to("src")
            if str(name) not in internals and f"{name.with_suffix('')}.*" not in internals:
                yield f"{path}: named nowhere in docs/internals"
            continue
        inner = parts[2] in INNER
        header = str(path.relative_to("include"))
        if header not in (internals if inner else guide):
            yield f"{path}: <{header}> is named nowhere in docs/{'internals' if inner else 'guide'}"


def check(root):
    pages = [page for name in ("README.md", "CHANGELOG.md") if (page := root / name).is_file()]
    for page in pages + sorted((root / "docs").rglob("*.md")):
        text = page.read_text()
        name = page.relative_to(root)
        yield from snippets(root, name, text)
        yield from links(root, name, text)
    yield from forgotten(root)


if __name__ == "__main__":
    cpp_source.run(check, __doc__)

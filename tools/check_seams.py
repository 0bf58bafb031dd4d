#!/usr/bin/env python3
"""Checks that the kernel's waits, clocks and the like are touched only by the files that tools/seams.txt names.

Whatever is not deterministic goes through one door, so that a checking build can replace it.
"""
import re

import cpp_source


def read_seams(path):
    words, allowed, errors = {}, {}, []
    for number, line in cpp_source.data_lines(path):
        kind, _, rest = line.partition(" ")
        if kind == "word" and len(parts := rest.split(None, 1)) == 2:
            words[parts[0]] = re.compile(parts[1])
        elif kind == "allow" and (match := re.fullmatch(r"(\S+)\s+([\w ]+?)\s*: (.+)", rest.strip())):
            allowed[match[1]] = (number, set(match[2].split()))
        else:
            errors.append(f"{path}:{number}: neither `word NAME REGEX` nor `allow FILE NAME... : REASON`")
    errors += [f"{path}:{number}: unknown word {name}" for number, names in allowed.values()
               for name in sorted(names - words.keys())]
    return words, allowed, errors


def check(root):
    data = root / "tools/seams.txt"
    words, allowed, errors = read_seams(data)
    yield from errors
    used = set()
    for path in cpp_source.sources(root):
        code = cpp_source.code_only((root / path).read_text())
        _, names = allowed.get(str(path), (0, set()))
        for name, pattern in words.items():
            for match in pattern.finditer(code):
                if name in names:
                    used.add((str(path), name))
                else:
                    yield (f"{path}:{cpp_source.line_of(code, match.start())}: {match[0].strip()}: "
                           f"only the seam of '{name}' in {data.name} may use it")
    for file, (number, names) in allowed.items():
        for name in sorted(names):
            if (file, name) not in used:
                yield f"{data.name}:{number}: {file} does not use '{name}': remove the permission"


if __name__ == "__main__":
    cpp_source.run(check, __doc__)

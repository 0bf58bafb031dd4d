#!/usr/bin/env python3
"""Checks every #include of the library against the layers in tools/layers.txt, and that there is no cycle."""
import fnmatch
import pathlib
import re

import cpp_source

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<(runnel/[^>]+)>|"([^"]+)")', re.MULTILINE)


class Layers:
    def __init__(self, path):
        self.height, self.friends, self.top, self.files, self.ring, self.errors = {}, {}, {}, [], {}, []
        for number, line in cpp_source.data_lines(path):
            kind, _, rest = line.partition(" ")
            if kind == "level":
                groups = [[name.strip() for name in group.split(",")] for group in rest.split("|")]
                level = len(set(self.height.values()))
                for group in groups:
                    for name in group:
                        self.height[name], self.friends[name] = level, set(group)
            elif kind == "top":
                name, _, seen_by = rest.partition(" seen-by ")
                self.top[name.strip()] = set(seen_by.split())
            elif kind == "ring" and (match := re.fullmatch(r"(\S+) (\S+) for (.+)", rest.strip())):
                self.ring[match[1]] = (match[2], set(match[3].split()))
            elif kind == "files":
                name, *patterns = rest.split()
                self.files += [(pattern, name) for pattern in patterns]
            else:
                self.errors.append(f"{path.name}:{number}: not understood: {line}")
        known = self.height.keys() | self.top.keys()
        named = {name for _, name in self.files} | self.ring.keys()
        named = named.union(*self.top.values(), *(layers for _, layers in self.ring.values()))
        self.errors += [f"{path.name}: unknown layer {name}" for name in sorted(named - known)]

    def of(self, path):
        """The layer of a file, or None."""
        below_root = str(path.relative_to("include/runnel" if path.parts[0] == "include" else "src"))
        fitting = [(len(pattern), name) for pattern, name in self.files if fnmatch.fnmatch(below_root, pattern)]
        return max(fitting)[1] if fitting else None

    def may_see(self, layer, target_layer, target):
        if layer == target_layer:
            return True
        if target_layer in self.top:
            return layer in self.top[target_layer] or (layer in self.top and target_layer != "testing")
        if layer in self.top:
            return True
        if target_layer in self.ring:
            ring, closed_to = self.ring[target_layer]
            if layer in closed_to and not fnmatch.fnmatch(str(target), ring):
                return False
        return (self.height[target_layer] < self.height[layer]) or target_layer in self.friends[layer]


def resolve(root, path, public, private):
    """The file that an #include names, relative to the root, or None."""
    if public:
        candidates = [root / "include" / public]
    else:
        candidates = [(root / path).parent / private, root / "src" / private]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve().relative_to(root.resolve())
    return None


def cycles(graph):
    """One path for each cycle that a depth-first search closes."""
    state = {}

    def visit(node, trail):
        state[node] = "open"
        for target in graph.get(node, ()):
            if state.get(target) == "open":
                yield trail[trail.index(target):] + [target]
            elif target not in state:
                yield from visit(target, trail + [target])
        state[node] = "done"

    for node in sorted(graph):
        if node not in state:
            yield from visit(node, [node])


def check(root):
    layers = Layers(root / "tools/layers.txt")
    yield from layers.errors
    if layers.errors:
        return
    graph = {}
    for path in cpp_source.sources(root):
        layer = layers.of(path)
        if layer is None:
            yield f"{path}: in no layer: add it to a `files` line of tools/layers.txt"
            continue
        text = (root / path).read_text()
        # Comments are blanked by length, so that an #include inside one is not taken for real.
        code = cpp_source.code_only(text)
        for match in INCLUDE.finditer(text):
            if not code[match.start():match.end()].strip():
                continue
            line = cpp_source.line_of(text, match.start())
            target = resolve(root, path, match[1], match[2])
            if target is None:
                yield f"{path}:{line}: {match[1] or match[2]} is not a file of the library"
                continue
            graph.setdefault(path, []).append(target)
            target_layer = layers.of(target)
            if target_layer and not layers.may_see(layer, target_layer, target):
                yield f"{path}:{line}: {layer} may not include {target} ({target_layer})"
    for cycle in cycles(graph):
        yield "include cycle: " + " -> ".join(map(str, cycle))


if __name__ == "__main__":
    cpp_source.run(check, __doc__)

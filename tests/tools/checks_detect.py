#!/usr/bin/env python3
"""The checks of the checks: small trees that are known to be bad, or good, and what tools/check_*.py says of them."""
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def verdict(check, files):
    """The output lines of a check over a tree with these files; none if it passes."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("layers.txt", "seams.txt"):
            files.setdefault(f"tools/{name}", (TOOLS / name).read_text() if name == "layers.txt" else SEAMS)
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run = subprocess.run([sys.executable, TOOLS / f"check_{check}.py", "--root", folder],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        lines = run.stdout.splitlines()
        assert (run.returncode != 0) == bool(lines), run
        return lines


SEAMS = "word futex \\bSYS_futex\\b\nallow src/base/futex.cpp futex : the door\n"
DOOR = {"src/base/futex.cpp": "int x = SYS_futex;\n"}


class Layers(unittest.TestCase):
    def test_lower_and_own_layers_may_be_included(self):
        self.assertEqual([], verdict("layers", {
            "include/runnel/base/a.hpp": "", "include/runnel/sched/waiter.hpp": "#include <runnel/base/a.hpp>\n",
            "src/sync/mutex.cpp": "#include <runnel/sched/waiter.hpp>\n#include <vector>\n"}))

    def test_upward_include_is_found(self):
        self.assertEqual(["src/base/a.cpp:2: base may not include include/runnel/go.hpp (go)"], verdict("layers", {
            "include/runnel/go.hpp": "", "src/base/a.cpp": "\n#include <runnel/go.hpp>\n"}))

    def test_siblings_may_not_see_each_other(self):
        self.assertEqual(1, len(verdict("layers", {
            "include/runnel/patterns/a.hpp": "", "include/runnel/io/b.hpp": "#include <runnel/patterns/a.hpp>\n"})))

    def test_inner_scheduler_is_closed_to_sync(self):
        self.assertEqual(1, len(verdict("layers", {
            "src/sched/worker.hpp": "", "src/sync/mutex.cpp": '#include "sched/worker.hpp"\n'})))

    def test_nothing_includes_testing(self):
        self.assertEqual(1, len(verdict("layers", {
            "include/runnel/testing/a.hpp": "", "src/debug/b.cpp": "#include <runnel/testing/a.hpp>\n"})))

    def test_unknown_file_and_missing_target_are_found(self):
        self.assertEqual(2, len(verdict("layers", {
            "src/stray.cpp": "", "src/base/a.cpp": '#include "nowhere.hpp"\n'})))

    def test_cycle_is_found(self):
        self.assertEqual(["include cycle: src/base/a.hpp -> src/base/b.hpp -> src/base/a.hpp"], verdict("layers", {
            "src/base/a.hpp": '#include "base/b.hpp"\n', "src/base/b.hpp": '#include "a.hpp"\n'}))

    def test_commented_include_does_not_count(self):
        self.assertEqual([], verdict("layers", {
            "include/runnel/go.hpp": "", "src/base/a.cpp": "/*\n#include <runnel/go.hpp>\n*/\n"}))


class Seams(unittest.TestCase):
    def test_the_door_may_use_its_word(self):
        self.assertEqual([], verdict("seams", {**DOOR}))

    def test_others_may_not(self):
        self.assertEqual(1, len(verdict("seams", {**DOOR, "src/go.cpp": "f(SYS_futex);\n"})))

    def test_comments_and_strings_do_not_count(self):
        self.assertEqual([], verdict("seams", {
            **DOOR, "src/go.cpp": '// SYS_futex\nauto a = "SYS_futex"; auto b = R"(" SYS_futex)"; /* SYS_futex */\n'}))

    def test_unused_permission_is_found(self):
        self.assertEqual(1, len(verdict("seams", {"src/base/futex.cpp": "\n"})))


class Atomics(unittest.TestCase):
    def found(self, text, path="src/a.cpp"):
        return len(verdict("atomics", {path: text}))

    def test_raw_atomics_are_found(self):
        self.assertEqual(3, self.found("#include <atomic>\nstd::atomic<int> a;\nint b = __atomic_load_n(&c, 0);\n"))

    def test_the_shim_may_use_them(self):
        self.assertEqual(0, self.found("#include <atomic>\n", "include/runnel/base/atomic.hpp"))

    def test_unexplained_order_is_found(self):
        self.assertEqual(1, self.found("void f() {\n  a.load(order::relaxed);\n}\n"))

    def test_explained_orders_pass(self):
        self.assertEqual(0, self.found(
            "a.load(order::relaxed);  // a counter\n\n"
            "// release: publishes b\nif (c)\n  a->store(b,\n           shim::order::release);\n"))

    def test_an_empty_line_ends_the_explanation(self):
        self.assertEqual(1, self.found("// acquire: pairs with f\n\na.load(order::acquire);\n"))

    def test_a_comment_without_words_explains_nothing(self):
        self.assertEqual(1, self.found("// ----\na.load(order::acquire);\n"))

    def test_other_loads_do_not_count(self):
        self.assertEqual(0, self.found("file.load(name);\n"))

    def test_thread_local_in_a_public_header_is_found(self):
        self.assertEqual(1, self.found("inline thread_local int a;\n", "include/runnel/a.hpp"))
        self.assertEqual(0, self.found("thread_local int a;\n"))


class Promises(unittest.TestCase):
    IDS = [f"{letter}{n}" for letter, count in (("A", 8), ("B", 6), ("C", 10), ("D", 13), ("E", 3), ("F", 7), ("G", 1))
           for n in range(1, count + 1)]
    HEAD, TAIL = "<!-- the table: tools/check_promises.py --write -->\n", "<!-- end of the table -->\n"
    TABLE = "| pitfall | verdict | what happens | shown by |\n|---|---|---|---|\n"

    def found(self, catalogue=None, pitfalls="", page=None):
        files = {f"tests/{name}": text for name, text in {"a_test.cpp": "TEST_P(s, t) {}\n", "negative_compile/n.cpp": ""}.items()}
        return verdict("promises", {
            "tools/catalogue.txt": catalogue or "".join(f"{name} | x | later: y\n" for name in self.IDS),
            "tools/pitfalls.txt": pitfalls, "docs/guide/pitfalls.md": page or self.HEAD + self.TABLE + self.TAIL,
            "examples/e.cpp": "", "examples/e.expected": "", **files})

    def test_what_is_there_passes(self):
        rest = "".join(f"{name} | x | later: y\n" for name in self.IDS[1:])
        self.assertEqual([], self.found(f"A1 | x | s.t, negative_compile/n | examples/e | docs/guide/pitfalls.md#a\n{rest}"))

    def test_what_is_not_there_is_found(self):
        rest = "".join(f"{name} | x | later: y\n" for name in self.IDS[1:])
        self.assertEqual(3, len(self.found(f"A1 | x | s.u | examples/f | docs/guide/g.md\n{rest}")))

    def test_a_forgotten_and_an_unknown_id_are_found(self):
        rest = "".join(f"{name} | x | later: y\n" for name in self.IDS[1:])
        self.assertEqual(2, len(self.found(f"A9 | x | later: y\n{rest}")))

    def test_a_pitfall_that_no_test_shows_is_found(self):
        self.assertEqual(["pitfalls.txt:1: shown by no test"], self.found(pitfalls="p | impossible | x |\n"))
        self.assertEqual(["pitfalls.txt:1: there is no test s.u"], self.found(pitfalls="p | thrown | x | s.u\n"))
        self.assertEqual(["pitfalls.txt:1: not understood"], self.found(pitfalls="p | perhaps | x | s.t\n"))

    def test_a_page_that_says_something_else_is_found(self):
        row = "| p | impossible | x | [t](../../tests/a_test.cpp) |\n"
        self.assertEqual([], self.found(pitfalls="p | impossible | x | s.t\n", page=self.HEAD + self.TABLE + row + self.TAIL))
        self.assertEqual(1, len(self.found(pitfalls="p | impossible | x | s.t\n")))


class Options(unittest.TestCase):
    HEADER = ("namespace runnel {\n\nenum class colour : char { red, blue };\nstruct paint_options {\n"
              "  static constexpr int most = 9;\n  int layers = 2;  ///< at least 1\n  colour first = colour::red;\n};\n"
              "namespace detail {\nstruct inner_options {\n  int hidden = 1;\n};\n}\n}\n")
    USES = {"include/runnel/a.hpp": HEADER, "src/a.cpp": "void f() {\n  use(o.layers);\n}\nvoid g() {\n  use(o.layers);\n  see(o.first);\n}\n",
            "examples/wordcount/args.cpp": 'if (name == "--top") {}\n', "tests/a_test.cpp": "TEST(s, t) {}\n",
            "tests/w_test.py": "class W(TestCase):\n    def test_x(self):\n"}
    REST = ("colour::red\n  src/a.cpp\n  - o.first\n  + 0\n  ! s.t\ncolour::blue : is red\n  src/a.cpp\n  - o.first\n  + red\n  ! s.t\n"
            "paint_options.first\n  src/a.cpp\n  - see(o.first);\n  +\n  ! s.t\n"
            "wordcount --top\n  examples/wordcount/args.cpp\n  - --top\n  + --pot\n  ! w_test.py W.test_x\n")
    LAYERS = "paint_options.layers\n  src/a.cpp\n  @ void g()\n  - o.layers\n  + 2\n  ! s.t\n"

    def found(self, listed):
        return verdict("options", {**self.USES, "tests/options.txt": listed})

    def test_a_full_list_passes(self):
        self.assertEqual([], self.found(self.REST + self.LAYERS))
        self.assertEqual([], self.found(self.REST + self.LAYERS + self.LAYERS.replace("layers\n  src", "layers : again\n  src")))
        self.assertEqual([], self.found(self.REST + self.LAYERS + self.LAYERS.replace("paint_options.layers", "f(layers)")))

    def test_a_forgotten_option_is_found(self):
        self.assertEqual(["tests/options.txt: paint_options.layers is missing: no test is known to fail when it is ignored"],
                         self.found(self.REST))
        self.assertEqual(2, len(self.found(self.REST.partition("paint_options.first")[0] + self.LAYERS)))

    def test_an_unknown_one_is_found(self):
        for name in "paint_options.most", "inner_options.hidden", "colour::green", "wordcount --bottom":
            self.assertEqual(1, len(self.found(self.REST + self.LAYERS + self.LAYERS.replace("paint_options.layers", name))))

    def test_one_that_stands_twice_is_found(self):
        self.assertEqual(2, len(self.found(self.REST + self.LAYERS + self.LAYERS)))

    def test_a_change_that_cannot_be_made_is_found(self):
        for wrong in (self.LAYERS.replace("  @ void g()\n", ""),  # twice
                      self.LAYERS.replace("void g", "void h"), self.LAYERS.replace("- o.layers", "- o.layer("),
                      self.LAYERS.replace("src/a.cpp", "src/b.cpp"), self.LAYERS.replace("+ 2", "+ o.layers")):
            self.assertEqual(1, len(self.found(self.REST + wrong)), wrong)

    def test_a_test_that_is_not_there_is_found(self):
        self.assertEqual(1, len(self.found(self.REST + self.LAYERS.replace("s.t", "s.u"))))
        self.assertEqual(1, len(self.found(self.REST.replace("test_x", "test_y") + self.LAYERS)))

    def test_what_is_not_understood_is_found(self):
        for wrong in ("paint_options\n", "  src/a.cpp\n", self.LAYERS + "  ? x\n", self.LAYERS + "  + 3\n"):
            self.assertEqual(1, len(self.found(wrong)), wrong)


class Docs(unittest.TestCase):
    PROGRAM = {"examples/a.cpp": "int main() {\n  f();\n    g();\n}\n"}

    def found(self, page, files=()):
        return verdict("docs", {"docs/guide/a.md": page, **self.PROGRAM, **dict(files)})

    def test_a_part_of_a_program_passes_at_any_indentation(self):
        self.assertEqual([], self.found("```cpp\n// examples/a.cpp\nf();\n  g();\n```\n"))

    def test_a_changed_snippet_is_found(self):
        self.assertEqual(["docs/guide/a.md:2: the snippet is not a part of examples/a.cpp"],
                         self.found("\n```cpp\n// examples/a.cpp\nf();\ng();\n```\n"))

    def test_a_snippet_of_no_program_is_found(self):
        self.assertEqual(1, len(self.found("```cpp\n// examples/b.cpp\nf();\n```\n")))

    def test_a_snippet_without_a_program_does_not_count(self):
        self.assertEqual([], self.found("```cpp\nh();\n```\n"))

    def test_links_are_followed(self):
        self.assertEqual([], self.found("# A b\n[x](#a-b) [y](b.md#c) [z](https://example.org)\n",
                                        {"docs/guide/b.md": "## C\n"}))
        self.assertEqual(3, len(self.found("[x](#a-b) [y](b.md#d) [z](c.md)\n", {"docs/guide/b.md": "## C\n"})))

    def test_links_in_code_do_not_count(self):
        self.assertEqual([], self.found("`[](f)`\n```cpp\n[x](int)\n```\n"))

    def test_forgotten_files_are_found(self):
        files = {"src/sched/a.cpp": "", "include/runnel/sched/a.hpp": "", "include/runnel/a.hpp": ""}
        self.assertEqual(3, len(self.found("", files)))
        self.assertEqual([], self.found("<runnel/a.hpp>", {
            **files, "docs/internals/a.md": "sched/a.* runnel/sched/a.hpp"}))


def fails(tool, *arguments):
    """Whether a tool of this project rejects these arguments."""
    return subprocess.run([sys.executable, TOOLS / tool, *arguments], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode != 0


class InTemporaryFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path


class NegativeCompile(InTemporaryFolder):
    def rejected(self, text):
        return fails("negative_compile.py", self.write("a.cpp", text), "--", "c++", "-std=c++20")

    GUARDED = "#ifndef RUNNEL_NEGATIVE_CONTROL\nstatic_assert(false, \"no luck\");\n#endif\n"

    def test_the_expected_error_passes(self):
        self.assertFalse(self.rejected("// expect: no luck\n" + self.GUARDED))

    def test_another_error_is_rejected(self):
        self.assertTrue(self.rejected("// expect: more luck\n" + self.GUARDED))

    def test_a_file_that_compiles_is_rejected(self):
        self.assertTrue(self.rejected("// expect: no luck\nint x;\n"))

    def test_a_file_that_never_compiles_is_rejected(self):
        self.assertTrue(self.rejected("// expect: no luck\nstatic_assert(false, \"no luck\");\n"))

    def test_a_file_without_expectation_is_rejected(self):
        self.assertTrue(self.rejected(self.GUARDED))


class ExpectRace(InTemporaryFolder):
    def rejected(self, output, status):
        program = self.write("race", f"#!/bin/sh\necho '{output}'\nexit {status}\n")
        return fails("expect_race.py", program, "race.cpp")

    REPORT = "WARNING: ThreadSanitizer: data race (pid=1)\n  #0 main race.cpp:3"

    def test_the_report_passes(self):
        self.assertFalse(self.rejected(self.REPORT, 66))

    def test_silence_is_rejected(self):
        self.assertTrue(self.rejected("", 66))

    def test_success_is_rejected(self):
        self.assertTrue(self.rejected(self.REPORT, 0))

    def test_a_race_elsewhere_is_rejected(self):
        self.assertTrue(self.rejected(self.REPORT.replace("race.cpp", "other.cpp"), 66))


class TsanObjects(InTemporaryFolder):
    SHARED = "template <class T> __attribute__((noinline)) T twice(T t) { return t + t; }\nint f() { return twice(2); }\n"

    def build(self, text, *flags):
        source, archive = self.write("a.cpp", text), self.folder / "a.a"
        subprocess.run(["c++", "-O1", *flags, "-c", source, "-o", self.folder / "a.o"], check=True)
        subprocess.run(["ar", "rcs", archive, self.folder / "a.o"], check=True)
        return archive

    def test_a_shared_function_is_found(self):
        self.assertTrue(fails("check_tsan_objects.py", self.build(self.SHARED)))

    def test_a_localized_function_passes(self):
        archive = self.build(self.SHARED)
        subprocess.run([TOOLS.parent / "cmake/localize_weak.sh", archive, "ld.bfd", "nm", "objcopy", "ar"], check=True)
        self.assertFalse(fails("check_tsan_objects.py", archive))

    def test_instrumentation_is_found(self):
        self.assertTrue(fails("check_tsan_objects.py", self.build("void f(int* p) { *p = 1; }", "-fsanitize=thread")))


class Mutations(InTemporaryFolder):
    def names(self, text):
        loader = importlib.machinery.SourceFileLoader("mutate", str(TOOLS / "mutate"))
        spec = importlib.util.spec_from_loader("mutate", loader)
        mutate = importlib.util.module_from_spec(spec)
        sys.modules["mutate"] = mutate
        loader.exec_module(mutate)
        mutate.ROOT = self.folder
        self.write("a.cpp", text)
        return [mutation.name for mutation in mutate.mutations_of("a.cpp")]

    def test_each_order_is_weakened_by_one_step(self):
        self.assertEqual(
            ["a.cpp:f:load:1:relaxed", "a.cpp:f:modify:1:acquire", "a.cpp:f:modify:1:release", "a.cpp:g:fence:1:acq_rel"],
            self.names("void f() noexcept {\n  a.load(order::acquire);\n  b->fetch_add(1, order::acq_rel);\n"
                       "  a.load(order::relaxed);\n}\nint c::g(int x) const {\n  if (x) {\n    fence(order::seq_cst);\n  }\n}\n"))

    def test_both_orders_of_a_compare_exchange_count(self):
        self.assertEqual(
            ["a.cpp:f:success:1:relaxed", "a.cpp:f:failure:1:relaxed"],
            self.names("void f() {\n  a.compare_exchange(b, 1, order::release,\n                     order::acquire);\n}\n"))

    def test_wake_ups_are_dropped(self):
        self.assertEqual(["a.cpp:f:wake:1:drop", "a.cpp:f:call:1:drop", "a.cpp:f:call:2:drop"],
                         self.names("void f() {\n  futex_wake(w, 1);\n  woken.wake_all();\n  kick_poller();\n}\n"))

    def test_comments_do_not_count(self):
        self.assertEqual([], self.names("void f() {\n  // a.load(order::acquire)\n}\n"))

    def test_two_on_one_line_are_refused(self):
        with self.assertRaises(SystemExit):
            self.names("void f() {\n  a.load(order::acquire) + b.load(order::acquire);\n}\n")


if __name__ == "__main__":
    unittest.main()

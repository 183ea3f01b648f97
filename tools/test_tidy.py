#!/usr/bin/env python3
"""Tests tools/tidy.py on small trees made for each row."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy  # noqa: E402

HEADER = "// Says what it is.\n#pragma once\n"
GUARDED = "src/base/guarded.h"

# What counts as a function of a class, and what does not.
COUNTED = """
  explicit A(int x) : x_(f(x)), y_{x}, z_(1) {}
  ~A();
  A(A&& other) noexcept : x_(std::exchange(other.x_, 0)) {}
  int x() const { return g(x_); }
  [[nodiscard]] static std::map<int, std::pair<int, int>> all(int most = h(3));
  template <class F>
  auto with(F&& use) const -> std::invoke_result_t<F, int&>;
  bool operator==(const A&) const = default;
  bool operator<(const A& other) const;
  A& operator++();
  std::shared_ptr<int> operator->() const;
  explicit operator bool() const { return x_ != 0; }
  int operator()(int) const;
  virtual void pure() = 0;
"""
NOT_COUNTED = """
 public:
  A(const A&) = delete;
  using Callback = std::function<void(int)>;
  friend bool operator!=(const A&, const A&);
  static_assert(sizeof(int) == 4, "it is");
  struct Nested {
    int one();
    int two() { return 2; }
  };
  enum class E { kA = f(1) };
  std::function<void(int)> callback_;
  int made_ = f(1);
  int braced_{f(1)};
  void (*pointer_)(int) = nullptr;
  alignas(64) std::atomic<int> aligned_{0};
  const Callback lambda_ = [this](int x) { g(x); };
#define F(x) x
"""


def class_of(count):
    return "class A {\n" + "".join(f"  void f{i}();\n" for i in range(count)) + "};\n"


# name: (files, the findings' "path:line" in order)
CASES = {
    "a clean tree has no findings": (
        {"src/base/a.h": HEADER, "src/core/b.h": HEADER + '#include "base/a.h"\n', "README.md": "hello\n"}, []),
    "base must not include core": (
        {"src/core/b.h": HEADER, "src/base/a.h": HEADER + '#include "core/b.h"\n'}, ["src/base/a.h:3"]),
    "a layer without a place is named": (
        {"src/odd/b.cc": '#include "base/a.h"\n', "src/base/a.h": HEADER}, ["src/odd/b.cc:1"]),
    "models know base and core only": (
        {"src/policy/p.h": HEADER, "src/core/c.h": HEADER,
         "src/models/m.cc": '#include "core/c.h"\n#include "policy/p.h"\n'}, ["src/models/m.cc:2"]),
    "an application of the node knows base and the public headers only": (
        {"src/base/b.h": HEADER, "include/choir/node.h": HEADER, "src/runtime/r.h": HEADER,
         "src/evaluation/e.cc": '#include "base/b.h"\n#include "choir/node.h"\n#include "runtime/r.h"\n'},
        ["src/evaluation/e.cc:3"]),
    "everything may include public headers": (
        {"include/choir/a.h": HEADER, "src/base/a.cc": '#include "choir/a.h"\n',
         "apps/a.cc": '#include <choir/a.h>\n', "examples/a.cc": '#include <choir/a.h>\n'}, []),
    "public headers include no others": (
        {"src/base/a.h": HEADER, "include/choir/a.h": HEADER + '#include "base/a.h"\n'},
        ["include/choir/a.h:3"]),
    "public headers need only std and expected": (
        {"include/choir/a.h": HEADER + "#include <vector>\n#include <tl/expected.hpp>\n#include <spdlog/spdlog.h>\n"},
        ["include/choir/a.h:5"]),
    "programs and examples stay outside": (
        {"src/base/a.h": HEADER, "apps/own.h": HEADER, "apps/a.cc": '#include "own.h"\n#include "base/a.h"\n',
         "examples/a.cc": '#include "base/a.h"\n'}, ["apps/a.cc:2", "examples/a.cc:1"]),
    "the probe is a part of the library": (
        {"src/engine/a.h": HEADER, "apps/probe/main.cc": '#include "engine/a.h"\n'}, []),
    "engine headers stay in the engine": (
        {"src/engine/a.cc": "#include <llama.h>\n#include <chat.h>\n", "src/kernels/k.cc": "#include <ggml-cpu.h>\n",
         "tests/a_test.cc": "#include <llama.h>\n", "src/runtime/r.cc": "#include <llama.h>\n",
         "apps/a.cc": "#include <ggml.h>\n"}, ["apps/a.cc:1", "src/runtime/r.cc:1"]),
    "locks live in guarded.h": (
        {GUARDED: HEADER + "std::mutex m;\n", "src/core/a.cc": "// std::mutex is banned\nstd::mutex m;\n",
         "src/core/b.cc": "std::condition_variable_any c;\n", "tests/t.cc": "std::mutex m;\n",
         "sim/s.cc": "std::mutex m;\n"}, ["src/core/a.cc:2", "src/core/b.cc:1"]),
    "time comes from the clock": (
        {"src/base/clock.cc": "std::chrono::steady_clock::now();\n", "bench/b.cc": "std::chrono::steady_clock::now();\n",
         "src/core/a.cc": "/* steady_clock::now */ auto t = Clock::steady_clock::now();\n"}, ["src/core/a.cc:1"]),
    "401 lines are too many": (
        {"src/core/a.cc": "\n" * 401, "src/core/b.cc": "\n" * 400, "docs/long.md": "\n" * 999}, ["src/core/a.cc:401"]),
    "a header has a comment and a guard": (
        {"src/core/a.h": "#pragma once\n", "src/core/b.h": "// A.\n"}, ["src/core/a.h:1", "src/core/b.h:1"]),
    "31 functions need a reason": (
        {"src/core/a.h": HEADER + class_of(31), "src/core/b.h": HEADER + class_of(30),
         "src/core/c.h": HEADER + "// A.\n// Functions: one for each letter.\n" + class_of(31),
         "src/core/g.h": HEADER + "// More than 30 functions: it joins two parts.\n" + class_of(31),
         "src/core/h.h": HEADER + "// Functions: many.\n" + class_of(31),
         "src/core/d.h": HEADER + "// Functions: of another class.\n\n" + class_of(31),
         "src/core/e.cc": class_of(31), "tests/f.h": HEADER + class_of(31)},
        ["src/core/a.h:3", "src/core/d.h:5", "src/core/h.h:4"]),
    "a cycle is found": (
        {"src/core/a.h": HEADER + '#include "core/b.h"\n', "src/core/b.h": HEADER + '#include "core/a.h"\n'},
        ["src/core/b.h:3"]),
    "what a Python file takes from another one is there": (
        {"tests/a.py": "from b import (ONE,\n    two)\nfrom b import Three, four as five  # both\nimport b\nfrom json import x\n",
         "tests/b.py": "ONE = TWO = 1\ndef two():\n    pass\nclass Three:\n    pass\nfours = 4\n"}, ["tests/a.py:3"]),
    "unfinished words do not land": (
        {"src/core/a.cc": "// FIX" "ME\n// a st" "ubborn thing\n// st" "ub\n", "run": "#!/bin/sh\n# X" "XX\n"},
        ["run:2", "src/core/a.cc:1", "src/core/a.cc:3"]),
    "places of one machine do not land": (
        {"README.md": "see /ro" "ot/x\nnetwork/thing\n/wo" "rk/y\n"}, ["README.md:1", "README.md:3"]),
}


class TidyTest(unittest.TestCase):
    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        subprocess.run(["git", "init", "-q", folder.name], check=True)
        for name, text in files.items():
            path = Path(folder.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tidy.Tree(folder.name)

    def test_rows(self):
        for name, (files, want) in CASES.items():
            with self.subTest(name):
                got = [f"{path}:{line}" for path, line, _ in tidy.findings(self.tree(files))]
                self.assertEqual(got, want)

    def test_functions_of_a_class(self):
        found = tidy.functions_of(COUNTED + NOT_COUNTED)
        self.assertEqual(len(found), 13, found)
        self.assertEqual(tidy.functions_of(NOT_COUNTED), [])

    def test_a_fingerprint_follows_its_headers(self):
        files = {"src/base/a.h": HEADER, "src/base/a.cc": '#include "base/a.h"\n', "src/base/b.cc": "\n"}
        before = {name: mark for mark, name in tidy.fingerprints(self.tree(files))}
        files["src/base/a.h"] += "int x;\n"
        after = {name: mark for mark, name in tidy.fingerprints(self.tree(files))}
        self.assertNotEqual(before["src/base/a.cc"], after["src/base/a.cc"])
        self.assertEqual(before["src/base/b.cc"], after["src/base/b.cc"])


if __name__ == "__main__":
    unittest.main()

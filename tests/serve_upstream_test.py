#!/usr/bin/env python3
"""The engine's own server tests run against `choir serve`, laid beside its source in a folder that goes.

docs/upstream-tests.md says how each of them ends. This test fails where the run is another one.
"""

import collections
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cli_tools import CHOIR
from serve_clients_test import packages

REPO = Path(os.environ["CHOIR_REPO"])
UPSTREAM = REPO / "tests" / "upstream"
SHIM = UPSTREAM / "llama_server.py"
TABLE = REPO / "docs" / "upstream-tests.md"
SOURCE = Path(os.environ["CHOIR_ENGINE_SOURCE"])
CACHE = Path(os.environ.get("CHOIR_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "choir")
ENCODER = CACHE / "models" / "all-minilm-l6-v2.gguf"

# What a line of the table says of the cases of a test function, and how they end then.
ENDS = {"passes": "passed", "comes later": "failed", "refused": "failed", "no model": "failed",
        "skipped there": "skipped", "other text": "left out"}
LINE = re.compile(r"\| `(?P<name>[^`]+)` \| (?P<cases>\d+) \| (?P<says>[a-z ]+) \|(?P<why>.*)\|$")
SECONDS = 540  # less than the limit of ctest


class Line:
    def __init__(self, file, match):
        self.name = f"{file}::{match['name']}"
        self.cases = int(match["cases"])
        self.says = match["says"]
        pattern = re.escape(self.name).replace(r"\*", ".*")
        self.pattern = re.compile(pattern if "[" in self.name else pattern + r"(\[.*\])?", re.DOTALL)


def lines_of(text):
    """The lines of the table, in their order; the first one whose name fits a case counts. '*' is any text."""
    lines, file = [], None
    for row in text.split("\n"):
        if row.startswith("## "):
            file = row.removeprefix("## ").strip("`")
        elif match := LINE.match(row):
            lines.append(Line(file, match))
    return lines


def line_of(lines, case):
    return next((line for line in lines if line.pattern.fullmatch(case)), None)


def differences(lines, outcomes):
    """What is not as the table says, in sentences."""
    found, counts = [], collections.Counter()
    for case, outcome in sorted(outcomes.items()):
        line = line_of(lines, case)
        if line is None:
            found.append(f"{case} has no line, it is {outcome}")
            continue
        counts[line] += 1
        if outcome != ENDS[line.says]:
            found.append(f"{case} is {outcome}, the table says '{line.says}'")
    for line in lines:
        if counts[line] != line.cases:
            found.append(f"{line.name} has {counts[line]} cases, the table says {line.cases}")
    return found


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Upstream(unittest.TestCase):
    maxDiff = None

    def run_them(self, folder, lines):
        """(outcome by case, output) of the files that the table names."""
        tests = folder / "tools" / "server" / "tests"
        shutil.copytree(SOURCE / "tools" / "server" / "tests", tests)
        (folder / "models").symlink_to(SOURCE / "models")
        files = list(dict.fromkeys(line.name.partition("::")[0] for line in lines))
        left_out = [case for case in self.collected(tests, files)
                    if (line := line_of(lines, case)) and ENDS[line.says] == "left out"]
        return self.pytest(tests, files, left_out)

    def collected(self, tests, files):
        return self.pytest(tests, files, [], "--collect-only")[0]

    def pytest(self, tests, files, left_out, *options):
        outcomes = tests / "outcomes.json"
        work = tests / "choir"
        work.mkdir(exist_ok=True)
        path = os.pathsep.join(str(one) for one in (packages("../upstream/requirements.txt"), UPSTREAM))
        environment = os.environ | {
            "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PORT": str(free_port()), "CHOIR_BIN": CHOIR,
            "LLAMA_SERVER_BIN_PATH": str(SHIM), "CHOIR_UPSTREAM_FOLDER": str(work),
            "CHOIR_UPSTREAM_ENCODER": str(ENCODER), "CHOIR_UPSTREAM_OUTCOMES": str(outcomes),
            "CHOIR_UPSTREAM_LEFT_OUT": json.dumps(left_out)}
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "choir_outcomes", "-q",
                               "--tb=short", "--durations=10", *options, *(f"unit/{file}" for file in files)],
                              cwd=tests, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        if not outcomes.exists():
            raise AssertionError(done.stdout[-4000:] + done.stderr[-4000:])
        return json.loads(outcomes.read_text(encoding="utf-8")), done.stdout

    def test_run_as_the_table_says(self):
        lines = lines_of(TABLE.read_text(encoding="utf-8"))
        if not ENCODER.is_file():
            print(f"[ PARTLY   ] without {ENCODER.name}, so without test_embedding.py")
            lines = [line for line in lines if not line.name.startswith("test_embedding.py")]
        with tempfile.TemporaryDirectory(prefix="choir-upstream-") as folder:
            outcomes, output = self.run_them(Path(folder), lines)
        if keep := os.environ.get("CHOIR_UPSTREAM_KEEP"):
            Path(keep).write_text(json.dumps(outcomes, indent=1) + output, encoding="utf-8")
        passed = collections.Counter(case.partition("::")[0] for case, how in outcomes.items() if how == "passed")
        print(output[output.find("slowest 10 durations"):].partition("short test summary")[0])
        print(f"{sum(passed.values())} of {len(outcomes)} pass:", dict(sorted(passed.items())))
        self.assertEqual(differences(lines, outcomes), [])


class Table(unittest.TestCase):
    LINES = lines_of("## `test_a.py`\n| `test_x[1*` | 2 | passes | |\n| `test_x` | 1 | refused | no |\n")

    def test_has_one_line_for_each_case(self):
        self.assertEqual(differences(self.LINES, {"test_a.py::test_x[1-a]": "passed", "test_a.py::test_x[12]": "passed",
                                                  "test_a.py::test_x[2]": "failed"}), [])

    def test_tells_what_differs(self):
        found = differences(self.LINES, {"test_a.py::test_x[1-a]": "failed", "test_a.py::test_x[2]": "passed",
                                         "test_a.py::test_xy": "passed"})
        self.assertEqual(len(found), 4, found)


if __name__ == "__main__":
    unittest.main()

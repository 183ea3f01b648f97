#!/usr/bin/env python3
"""Names the tests that skipped themselves, or part of what they assert, with their reasons.

    tools/skipped.py CHOIR build/tests.xml...

CHOIR is the program `choir`, which is asked which models are on disk; the other arguments are files that
`ctest --output-junit` wrote. A test reports a skip by GTEST_SKIP() << "reason" or by unittest's skipTest("reason"). If it
leaves out only a part, it prints a line "[ PARTLY   ] reason" (tests/partly.h).
"""
import json
import re
import subprocess
import sys
import xml.etree.ElementTree

MODELS = {"smollm2-135m", "gemma3-270m"}  # those of tests/real_models.h
GTEST_SKIP = re.compile(r"^\[  SKIPPED \] (?P<name>\S+?)(?: \(\d+ ms\)|, where .*)?$")
GTEST_RUN = re.compile(r"^\[ RUN      \] (?P<name>\S+?)(?:, where .*)?$")
GTEST_REASON = re.compile(r"^\S+:\d+: Skipped$")
PARTLY = re.compile(r"^\[ PARTLY   \] (?P<reason>.*)$")
UNITTEST = re.compile(r"^(?P<name>\w+) \((?P<place>[\w.]+)\)(?:.*)? \.\.\. skipped ['\"](?P<reason>.*)['\"]$")


def in_output(output):
    """Yields (case or "", reason) for what one program printed."""
    lines = output.splitlines()
    running, said, reason = "", set(), ""
    for number, line in enumerate(lines):
        if found := GTEST_RUN.match(line):
            running, reason = found["name"], ""
        elif GTEST_REASON.match(line):
            reason = lines[number + 1].strip() if number + 1 < len(lines) else ""
        elif (found := GTEST_SKIP.match(line)) and found["name"] == running and running not in said:
            said.add(running)  # the summary at the end names it again
            yield running, reason or "no reason given"
        elif found := PARTLY.match(line):
            yield running, "partly: " + found["reason"]
        elif found := UNITTEST.match(line):
            yield f"{found['place'].removesuffix('.' + found['name'])}.{found['name']}", found["reason"]


def skipped(root):
    """Yields (test of ctest, case or "", reason)."""
    for case in root.iter("testcase"):
        name = case.get("name")
        output = case.findtext("system-out") or ""
        found = list(in_output(output))
        for inner, reason in found:
            yield name, "" if name.endswith("." + inner) else inner, reason
        note = case.find("skipped")
        if not found and note is not None:
            yield name, "", note.get("message") or "no reason given"
        elif not found and case.get("status") in ("notrun", "disabled"):
            yield name, "", "not run: " + case.get("status")


def grouped(rows):
    """One line per reason and test program where many cases of one say the same."""
    groups = {}
    for name, inner, reason in rows:
        program = name.split(".")[0]
        groups.setdefault((program, reason), []).append(f"{name}{' ' + inner if inner else ''}")
    for (program, reason), names in sorted(groups.items()):
        if len(names) <= 3:
            yield from (f"  {name}: {reason}" for name in names)
        else:
            yield f"  {program} ({len(names)} cases, {names[0]} ... {names[-1]}): {reason}"


def missing_models(choir):
    """Cases are made for the models that are there, so these have none that could say so."""
    done = subprocess.run([choir, "models", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    there = {model["name"] for model in json.loads(done.stdout)["local"]}
    return sorted(MODELS - there)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    rows = [row for path in sys.argv[2:] for row in skipped(xml.etree.ElementTree.parse(path).getroot())]
    missing = missing_models(sys.argv[1])
    for model in missing:
        print(f"no case ran on {model}: choir pull {model}")
    if not rows and not missing:
        print("no test skipped itself or a part")
        return
    if rows:
        print(f"{len(rows)} skipped themselves or a part:")
        print("\n".join(grouped(rows)))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs the checks that take too long for every change, by hand or at night: `./dev nightly [--only NAME]... [--scale SHARE]`.

    fuzz       every fuzz target for 20 minutes
    address    1,000 random sequences of calls on the fake engine and 50 on a model, address and undefined sanitizers
    thread     the same with the thread sanitizer
    soak       2,000 sequences without a sanitizer, and 100,000 seeds of the simulator
    exits      209 processes that exit at random moments under load, each gone within 2 seconds
    off, avx2, avx512, amx
               the tests with CHOIR_KERNELS set to that; at any --scale all of them, but for clients and browsers

Each part that has ended replaces its row in docs/nightly.md, with its commit and the CPU; the rows of the other parts stay.
--scale 0.05 does a twentieth of everything, and the row says how much that was. Exits 1 if any part failed.
"""
import argparse
import os
import re
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(REPO, "docs", "nightly.md")
HEAD = """# The last long runs

`./dev nightly` runs the checks that take too long to run for every change, and writes this page. Each row is the last run of
its part, at its commit; a part that is not in the table has not been run. The CPU time includes the build.

| part | what | minutes | CPU minutes | commit | day | CPU | result |
|---|---|---|---|---|---|---|---|
"""
KINDS_OF_EXIT = 11  # tests/exit_test.cc runs so many kinds of work, each in that many processes
OUTSIDE = "^(serve_(clients|habits|slow|contract|upstream)|ui_.*)$"  # clients and browsers: they see no kernel
KERNELS = ("off", "avx2", "avx512", "amx")
NAMES = ("fuzz", "address", "thread", "soak", "exits", *KERNELS)


def git(*words):
    return subprocess.run(["git", *words], cwd=REPO, check=True, capture_output=True, text=True).stdout.strip()


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown CPU'}, {len(os.sched_getaffinity(0))} cores"


def random_sequences(fake, real):
    return {"CHOIR_RANDOM_SEQUENCES": str(fake), "CHOIR_RANDOM_REAL_SEQUENCES": str(real)}


class Part:
    """One row: a name, what it does, the command, and the environment it needs."""

    def __init__(self, name, what, command, environment=None):
        self.name, self.what, self.command, self.environment = name, what, command, environment or {}


def parts(scale):
    def some(count):
        return max(1, round(count * scale))

    dev = os.path.join(REPO, "dev")
    fake, real, soak, seeds = some(1000), some(50), some(2000), some(100000)
    seconds, exits = max(10, round(1200 * scale)), some(19)
    random = ["-R", "^parallel_random$", "--timeout", "28800"]
    return [
        Part("fuzz", f"every fuzz target, {seconds} s each", [dev, "fuzz", str(seconds)]),
        Part("address", f"{fake} random sequences on the fake engine, {real} on a model",
             [dev, "sanitize", "address", "--programs", "parallel_random", *random], random_sequences(fake, real)),
        Part("thread", f"{fake} random sequences on the fake engine, {real} on a model",
             [dev, "sanitize", "thread", "--programs", "parallel_random", *random], random_sequences(fake, real)),
        Part("soak", f"{soak} random sequences without a sanitizer, {seeds} seeds of the simulator",
             ["bash", "-c", f"'{dev}' test {' '.join(repr(w) for w in random)} && "
              f"'{os.path.join(REPO, 'build', 'bin', 'choir-sim')}' --seeds 1:{seeds} --quiet"],
             random_sequences(soak, real)),
        Part("exits", f"{KINDS_OF_EXIT * exits} processes that exit at random moments under load",
             [dev, "test", "-R", "^exit\\."], {"CHOIR_EXIT_PROCESSES": str(exits)}),
        *(Part(kernels, f"the tests with CHOIR_KERNELS={kernels}", [dev, "test", "-E", OUTSIDE], {"CHOIR_KERNELS": kernels})
          for kernels in KERNELS),
    ]


def run(part, commit):
    """Returns the cells of a row and whether the part passed."""
    print(f"== {part.name}: {part.what}", flush=True)
    began, cpu_began = time.monotonic(), os.times()
    done = subprocess.run(part.command, cwd=REPO, env={**os.environ, **part.environment}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    cpu_now = os.times()
    cpu_seconds = (cpu_now.children_user + cpu_now.children_system
                   - cpu_began.children_user - cpu_began.children_system)
    failures = re.findall(r"^(?:\s*\d+ - (\S+) \((?!Skipped|Disabled)|fuzz (\S+)\s+FAILED)", done.stdout, re.MULTILINE)
    word = "ok" if done.returncode == 0 else "FAILED: " + (", ".join(a or b for a, b in failures) or "see the output")
    minutes = (time.monotonic() - began) / 60
    cells = [part.name, part.what, f"{minutes:.1f}", f"{cpu_seconds / 60:.1f}", commit, time.strftime("%Y-%m-%d"), cpu(), word]
    return cells, done.returncode == 0


def rows_of(page):
    """Returns the rows of a page by the part's name."""
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] in NAMES:
            rows[cells[0]] = cells
    return rows


def put(cells):
    """Replaces one row of the page. The page is whole at every moment, for a run of hours may be cut off."""
    with open(PAGE, encoding="utf-8") as page:
        rows = rows_of(page.read())
    rows[cells[0]] = cells
    with open(PAGE + ".new", "w", encoding="utf-8") as page:
        page.write(HEAD)
        page.writelines("| " + " | ".join(rows[name]) + " |\n" for name in NAMES if name in rows)
    os.replace(PAGE + ".new", PAGE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], choices=NAMES, help="this part; may be given several times")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of each part that is done")
    arguments = parser.parse_args()
    if not 0 < arguments.scale <= 1:
        parser.error(f"--scale is {arguments.scale}; it must be above 0 and at most 1")

    # The page itself changes while parts run.
    changed = git("status", "--porcelain", "-uno", "--", ":!docs/nightly.md")
    commit = git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    passed = True
    for part in parts(arguments.scale):
        if not arguments.only or part.name in arguments.only:
            cells, well = run(part, commit)
            put(cells)
            passed = passed and well
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

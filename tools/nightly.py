#!/usr/bin/env python3
"""Runs the checks that take too long for every change, by hand or at night: `./dev nightly [--only NAME]... [--scale SHARE]`.

    fuzz       every fuzz target for 20 minutes
    address    1,000 random sequences of calls on the fake engine and 50 on a model, address and undefined sanitizers
    thread     the same with the thread sanitizer
    soak       2,000 sequences without a sanitizer, and 100,000 seeds of the simulator

Writes the table of the parts that ran to docs/nightly.md, with the commit and the CPU. --scale 0.05 does a twentieth of
everything, and the table says so. Exits 1 if any part failed.
"""
import argparse
import os
import re
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(REPO, "docs", "nightly.md")
HEAD = """# The last long run

`./dev nightly` runs the checks that take too long to run for every change, and writes this page. A part that is not in
the table was not run.

"""


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
    seconds = max(10, round(1200 * scale))
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
    ]


def run(part):
    """Returns a row of the table and whether it passed."""
    print(f"== {part.name}: {part.what}", flush=True)
    began, cpu_began = time.monotonic(), os.times()
    done = subprocess.run(part.command, cwd=REPO, env={**os.environ, **part.environment}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    cpu_now = os.times()
    cpu_seconds = (cpu_now.children_user + cpu_now.children_system
                   - cpu_began.children_user - cpu_began.children_system)
    failures = re.findall(r"^(?:\s*\d+ - (\S+) \(|fuzz (\S+)\s+FAILED)", done.stdout, re.MULTILINE)
    word = "ok" if done.returncode == 0 else "FAILED: " + (", ".join(a or b for a, b in failures) or "see the output")
    minutes = (time.monotonic() - began) / 60
    return f"| {part.name} | {part.what} | {minutes:.1f} | {cpu_seconds / 60:.1f} | {word} |", done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    chosen = [part for part in parts(arguments.scale) if not arguments.only or part.name in arguments.only]
    if not chosen or set(arguments.only) - {part.name for part in chosen}:
        parser.error("the parts are fuzz, address, thread and soak")

    commit = git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain", "-uno") else "")
    rows, passed = [], True
    for part in chosen:
        row, well = run(part)
        rows.append(row)
        passed = passed and well
    shorter = "" if arguments.scale == 1 else f" A shortened run: {arguments.scale:g} of everything."
    with open(PAGE, "w", encoding="utf-8") as page:
        page.write(HEAD)
        page.write(f"Commit {commit}, {time.strftime('%Y-%m-%d')}, {cpu()}.{shorter}\n\n")
        page.write("| part | what | minutes | CPU minutes, builds included | result |\n|---|---|---|---|---|\n")
        page.write("\n".join(rows) + "\n")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A benchmark of this checkout beside the same one of another revision, in alternating runs.

    ./dev bench NAME --against REV [--pairs 5] [--slices] [--at-least RATIO] [--json] [ARGUMENT of the benchmark]...

REV is built in a git worktree below build-against/, with its own pin and flags of the engine, and the worktree is
removed at the end. Both sides run the benchmark of this checkout where it builds on REV, else each its own, and
Choir's figures only: no peer is started. A ratio above 1 is good for this checkout, whatever the unit; it is the
median of the pairs'. Beside it is the ratio of the best run of each side: what else happens on a machine only makes
runs slower, so on a noisy one, with many pairs, it says more than the median.

With --slices both sides of a pair run at once on one core, in turns of 0.15 s (SIGSTOP, SIGCONT), and the figure is the CPU
time of the whole benchmark. What else happens on the machine falls on both alike, so differences of a percent can be
seen. It is for benchmarks that always do the same work, and says nothing of waiting and of several threads.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import report

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TREES = os.path.join(REPO, "build-against")
PEERLESS = ("router", "throughput", "conversations")  # those that take --no-peers
SLICE = 0.15  # seconds
CPU_TIME = "CPU time of the benchmark on one core"
PROGRAMS = ["choir_app", "choir-probe"]


def say(text):
    print(f"against: {text}", file=sys.stderr, flush=True)


def git(*words, cwd=REPO):
    return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def commit_of(revision):
    try:
        return git("rev-parse", "--verify", "--quiet", revision + "^{commit}")
    except subprocess.CalledProcessError:
        sys.exit(f"against: '{revision}' is not a revision of this repository")


def is_python(name):
    return os.path.exists(os.path.join(REPO, "bench", name + ".py"))


class OtherTree:
    """REV's worktree and build; gone when the block ends, also by a signal."""

    def __init__(self, revision):
        self.commit = commit_of(revision)
        self.path = os.path.join(TREES, self.commit[:12])

    def __enter__(self):
        self.remove()  # of a run that was killed
        os.makedirs(TREES, exist_ok=True)
        git("worktree", "add", "--detach", "--force", self.path, self.commit)
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        git("worktree", "prune")
        if os.path.isdir(TREES) and not os.listdir(TREES):
            os.rmdir(TREES)

    def cmake(self, *words):
        """Runs cmake in the worktree; only what it writes to stdout is kept back."""
        environment = {**os.environ, "CCACHE_BASEDIR": self.path}
        return subprocess.run(["cmake", *words], cwd=self.path, env=environment, stdout=subprocess.PIPE, text=True,
                              check=False)

    def make(self, *targets):
        options = ["-DCHOIR_BUILD_TESTS=OFF", "-DCHOIR_BUILD_EXAMPLES=OFF"]
        native = os.environ.get("CHOIR_NATIVE")
        done = self.cmake("--preset", "release", *options, *([f"-DCHOIR_NATIVE={native}"] if native else []))
        return self.cmake("--build", "build", "--target", *targets) if done.returncode == 0 else done

    def make_or_end(self, *targets):
        done = self.make(*targets)
        if done.returncode != 0:
            raise RuntimeError(f"{self.commit[:12]} does not build:\n{done.stdout[-3000:]}")

    def build(self, name):
        """Builds REV's programs, and the benchmark over them: ours where it builds, else its own."""
        say(f"building {self.commit[:12]}")
        self.make_or_end(*PROGRAMS)
        if is_python(name):  # the script is ours; it drives REV's programs
            return
        shutil.rmtree(os.path.join(self.path, "bench"))
        shutil.copytree(os.path.join(REPO, "bench"), os.path.join(self.path, "bench"))
        if self.make(f"bench_{name}").returncode == 0:
            return
        say(f"the benchmark of this checkout does not build on {self.commit[:12]}, which runs its own")
        shutil.rmtree(os.path.join(self.path, "bench"))
        git("checkout", "--force", self.commit, "--", "bench", cwd=self.path)
        self.make_or_end(f"bench_{name}")


def words_of(name, rest):
    """The benchmark's arguments, the same on both sides."""
    words = ["--json", *rest]
    if name in PEERLESS:
        words.append("--no-peers")
    if is_python(name) and "--runs" not in rest:
        words += ["--runs", "1"]
    return words


def program_of(name, side):
    """The benchmark for the build in the folder `side`, and its environment."""
    programs = os.path.join(side, "build", "bin")
    environment = {**os.environ, "CHOIR_REPO": side, "CHOIR_BIN": os.path.join(programs, "choir"),
                   "CHOIR_PROBE": os.path.join(programs, "choir-probe")}
    program = [os.path.join(programs, "bench_" + name)]
    if is_python(name):
        program = ["python3", os.path.join(REPO, "bench", name + ".py")]
    return program, environment


def run_once(name, side, words):
    """The machine and the rows of one run of the build in the folder `side`."""
    program, environment = program_of(name, side)
    done = subprocess.run(program + words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program[-1]} with the build of {side} ended with {done.returncode}:\n"
                           f"{done.stderr[-2000:]}")
    return rows_of(name, done.stdout)


def rows_of(name, text):
    """The machine and the rows of what a benchmark printed, without those that it could not measure."""
    try:
        answer = json.loads(text)
        return answer["machine"], {row["name"]: row for row in answer["rows"] if row.get("choir", 0) is not None}
    except (ValueError, TypeError, KeyError) as wrong:
        raise RuntimeError(f"the benchmark '{name}' prints no rows that can be compared: its --json gave "
                           f"{text[:60]!r}, not a machine and rows") from wrong


def alternate(name, other, pairs, words):
    """The machine, and of every pair the rows of both sides."""
    machine, done = "", []
    for pair in range(pairs):
        sides = [{}, {}]
        for side in [0, 1] if pair % 2 == 0 else [1, 0]:  # so that a drift of the machine falls on both
            machine, sides[side] = run_once(name, [REPO, other.path][side], words)
        done.append(sides)
        say(f"pair {pair + 1} of {pairs} is done")
    return machine, done


def start(name, side, words):
    """A run of the build in the folder `side` on one core, stopped at once; it leads a group of processes."""
    program, environment = program_of(name, side)
    core = max(os.sched_getaffinity(0))
    process = subprocess.Popen(program + words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    os.killpg(process.pid, signal.SIGSTOP)
    return process


def slice_of(process):
    """Lets it run for a slice. Its CPU seconds when it has ended, else None."""
    os.killpg(process.pid, signal.SIGCONT)
    end = time.monotonic() + SLICE
    while time.monotonic() < end:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise RuntimeError(f"a benchmark ended with {process.returncode}")
            return used.ru_utime + used.ru_stime
        time.sleep(SLICE / 20)
    os.killpg(process.pid, signal.SIGSTOP)
    return None


def in_slices(name, other, pairs, words):
    """The machine, and of every pair the CPU time of both sides as a row."""
    done = []
    for pair in range(pairs):
        sides = [None, None]
        running = {side: start(name, [REPO, other.path][side], words) for side in ([0, 1] if pair % 2 == 0 else [1, 0])}
        try:
            while running:
                for side in list(running):
                    sides[side] = slice_of(running[side])
                    if sides[side] is not None:
                        del running[side]
        finally:
            for process in running.values():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        done.append([{CPU_TIME: {"name": CPU_TIME, "unit": "s", "better": "lower", "choir": used}} for used in sides])
        say(f"pair {pair + 1} of {pairs} is done: {sides[0]:.2f} s beside {sides[1]:.2f} s")
    return report.machine(), done


def ratio_of(ours, theirs, better):
    """Above 1 where ours is the better; None where a ratio says nothing."""
    if ours <= 0 or theirs <= 0:
        return None
    return ours / theirs if better == "higher" else theirs / ours


def spread(values):
    """Half the distance from the lowest to the highest, in percent of the median."""
    middle = statistics.median(values)
    return 100 * (max(values) - min(values)) / 2 / abs(middle) if middle else 0.0


def best_of(values, better):
    return max(values) if better == "higher" else min(values)


def summary(pairs):
    """One row per figure that both sides have in every pair."""
    rows = []
    for name, first in pairs[0][0].items():
        if not all(name in side for pair in pairs for side in pair):
            say(f"'{name}' is not a figure of both sides")
            continue
        ours = [pair[0][name]["choir"] for pair in pairs]
        theirs = [pair[1][name]["choir"] for pair in pairs]
        ratios = [ratio_of(a, b, first["better"]) for a, b in zip(ours, theirs)]
        usable = None not in ratios
        rows.append({"name": name, "unit": first["unit"], "better": first["better"],
                     "this": statistics.median(ours), "this_spread": spread(ours),
                     "other": statistics.median(theirs), "other_spread": spread(theirs),
                     "ratio": statistics.median(ratios) if usable else None,
                     "ratio_lowest": min(ratios) if usable else None,
                     "ratio_highest": max(ratios) if usable else None,
                     "ratio_of_bests": ratio_of(best_of(ours, first["better"]), best_of(theirs, first["better"]),
                                                first["better"])})
    return rows


def show(bench, machine, commit, pairs, rows):
    def cell(value, percent):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.2f}", f"±{percent:.1f}%"

    here = git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    print(f"{bench}: {here} (this) beside {commit[:12]} (that), {pairs} alternating pairs, on {machine}")
    print(f"{'':50} {'this':>9} {'':7} {'that':>9} {'':7} {'ratio':>6}  {'of pairs':12} {'bests':>6}  unit")
    for r in rows:
        (this, this_spread), (that, that_spread) = cell(r["this"], r["this_spread"]), cell(r["other"], r["other_spread"])
        ratio, bounds, bests = "", "", ""
        if r["ratio"] is not None:
            ratio, bounds = f"{r['ratio']:.3f}", f"{r['ratio_lowest']:.2f}-{r['ratio_highest']:.2f}"
            bests = f"{r['ratio_of_bests']:.3f}"
        print(f"{r['name']:50} {this:>9} {this_spread:7} {that:>9} {that_spread:7} {ratio:>6}  {bounds:12} {bests:>6}  "
              f"{r['unit']}, {r['better']} is better")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--against", required=True, metavar="REV")
    parser.add_argument("--pairs", type=int, default=5, help="default 5")
    parser.add_argument("--at-least", type=float, metavar="RATIO", help="exit 1 when a ratio is below")
    parser.add_argument("--slices", action="store_true", help="CPU time of both sides, which run in turns of 0.15 s")
    parser.add_argument("--json", action="store_true")
    arguments, rest = parser.parse_known_args()
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that the worktree goes

    with OtherTree(arguments.against) as other:
        other.build(arguments.name)
        run = in_slices if arguments.slices else alternate
        machine, pairs = run(arguments.name, other, arguments.pairs, words_of(arguments.name, rest))
    rows = summary(pairs)
    if arguments.json:
        print(json.dumps({"bench": arguments.name, "against": other.commit, "machine": machine,
                          "pairs": arguments.pairs, "rows": rows}, indent=2))
    else:
        show(arguments.name, machine, other.commit, arguments.pairs, rows)
    low = [r["name"] for r in rows if arguments.at_least and r["ratio"] is not None and r["ratio"] < arguments.at_least]
    if low:
        say(f"below {arguments.at_least}: {'; '.join(low)}")
    sys.exit(1 if low or not rows else 0)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"against: {error}")

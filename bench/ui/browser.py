"""A browser that bench/ui/page.mjs drives, and what processes cost."""
import json
import os
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("CHOIR_REPO", REPO)
sys.path.append(os.path.join(REPO, "tests"))
import ui_tools  # noqa: E402
from ending import wait_or_kill  # noqa: E402


def why_not():
    """Why no browser can be had here; None: it can."""
    return None if ui_tools.BROWSER.exists() else f"{ui_tools.BROWSER} is not installed: apt-get install chromium"


class Browser:
    """Chromium; ended by its process id at the end of a `with` block."""

    def __init__(self):
        packages = str(ui_tools.packages())
        script = os.path.join(REPO, "bench", "ui", "page.mjs")
        self.node = subprocess.Popen(["node", script], env=os.environ | {"UI_PACKAGES": packages}, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.stdin.close()  # it closes the browser and ends
        wait_or_kill(self.node, 20)
        self.node.stdout.close()

    def do(self, act, **arguments):
        """What page.mjs answers to the act."""
        self.node.stdin.write(json.dumps({"do": act} | arguments) + "\n")
        self.node.stdin.flush()
        line = self.node.stdout.readline()
        if not line:
            raise RuntimeError(f"the browser's script ended with {self.node.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{act}: {answer['error']}")
        return answer["value"]

    def processes(self):
        """Those of the browser, without the script that drives it."""
        return descendants(self.node.pid)


def descendants(root):
    """The process ids below a process."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                    parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
    found, level = set(), {root}
    while level := {pid for pid, parent in parents.items() if parent in level and pid not in found}:
        found |= level
    return found


def cpu_seconds(processes):
    """By thread, as (process, thread): the seconds that it has computed, and its name."""
    seconds = {}
    for pid in processes:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                    nanoseconds = int(stat.read().split()[0])
                seconds[pid, int(thread)] = nanoseconds / 1e9
        except OSError:
            continue  # it has just ended
    return seconds


def cpu_between(before, after):
    """Of threads that are there at the end; one that ends meanwhile is not counted."""
    return sum(seconds - before.get(thread, 0) for thread, seconds in after.items())


def cpu_while(processes, seconds):
    """Percent of a core that each of the functions' processes take in so many seconds; in their order."""
    before = [cpu_seconds(of()) for of in processes]
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [100 * cpu_between(was, cpu_seconds(of())) / passed for of, was in zip(processes, before, strict=True)]

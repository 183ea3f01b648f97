"""What every benchmark prints, for those written in Python; bench/report/report.h says the same in C++."""
import argparse
import json
import os
import subprocess


def machine():
    name = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def parser(about):
    """The arguments that every benchmark in Python takes."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true")
    made.add_argument("--check", action="store_true", help="exit 1 when a row misses its goal")
    made.add_argument("--runs", type=int, default=3, help="alternating runs of each (default 3)")
    made.add_argument("--only", action="append", default=[],
                      help="loads whose name has this in it; may be repeated")
    made.add_argument("--no-peers", action="store_true", help="Choir's own figures only")
    return made


def wants(arguments, load):
    """Whether the load of this name is to run."""
    return not arguments.only or any(part in load for part in arguments.only)


def peer_program(repo, name):
    """A program of llama.cpp, built from our own engine source on demand, or that of the folder CHOIR_PEER_BIN.
    peer_check.py says whether it computes right."""
    given = os.environ.get("CHOIR_PEER_BIN")
    if given:
        return os.path.join(given, name)
    subprocess.run([os.path.join(repo, "tools", "deps"), "peer"], stdout=subprocess.DEVNULL, check=True)
    folder = subprocess.run([os.path.join(repo, "tools", "engine"), "peer"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.strip()
    return os.path.join(folder, name)


def row(name, unit, choir, peer, peer_name, goal):
    """choir and peer in `unit`, measured in one run; goal is for their ratio, higher is better. Without a peer
    there is nothing to hold against the goal. `choir` is None where it cannot be measured here; a "note" that is added
    to a row stands below the table."""
    ratio = choir / peer if peer else None
    return {"name": name, "unit": unit, "choir": choir, "peer": peer, "peer_name": peer_name, "ratio": ratio,
            "goal": goal if peer else None, "better": "higher", "ok": not peer or goal is None or ratio >= goal}


def finish(bench, rows, as_json, check):
    """Prints the rows; returns the exit code."""
    if as_json:
        print(json.dumps({"bench": bench, "machine": machine(), "rows": rows}, indent=2))
    else:
        print(f"{bench} on {machine()}")
        print(f"{'':46} {'choir':>10} {'peer':>10} {'ratio':>8} {'goal':>8} {'':7} unit, peer")
        for r in rows:
            sign = ">=" if r["better"] == "higher" else "<="
            goal = f"{sign}{r['goal']:.2f}" if r["goal"] else ""
            peer, ratio = ("", "") if r["peer"] is None else (f"{r['peer']:.2f}", f"{r['ratio']:.2f}")
            unit = ", ".join(filter(None, [r["unit"], r["peer_name"]]))
            ours = "-" if r["choir"] is None else f"{r['choir']:.2f}"
            verdict = "MISSED" if not r["ok"] else "ok" if goal else ""
            print(f"{r['name']:46} {ours:>10} {peer:>10} {ratio:>8} {goal:>8} {verdict:7} {unit}")
        for r in rows:
            if r.get("note"):
                print(f"{r['name']}: {r['note']}")
    return 1 if check and not all(r["ok"] for r in rows) else 0

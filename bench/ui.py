#!/usr/bin/env python3
"""What it costs that somebody watches: the dashboard in a browser, readers of events, and `choir top`.

    ./dev bench ui [--json] [--check] [--runs 3] [--only NAME] [--seconds 12]

All of it runs on two cores: the daemon, the browser (Debian's Chromium without a window, which draws in software) and
the terminal. Each figure is held against its bar, or against the same load of the same run without anybody who watches;
what about:blank costs is subtracted from what the page costs. A row that is missed, or cannot be measured here, says why
below the table. Needs `choir pull smollm2-135m`; Chromium and node for the rows of the page.

--seconds is how long each state is measured; `--seconds 60` takes 15 minutes. Loopback only; every part ends by itself.
"""
import concurrent.futures
import contextlib
import http.client
import multiprocessing
import os
import statistics
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, "bench"), os.path.join(REPO, "bench", "report"), os.path.join(REPO, "bench", "peers"),
                os.path.join(REPO, "bench", "ui")]
import browser  # noqa: E402
import report  # noqa: E402
import router  # noqa: E402
import terminal  # noqa: E402
from browser import Browser, cpu_while  # noqa: E402
from events import Readers  # noqa: E402
from serving import Daemon  # noqa: E402
from streams import drive  # noqa: E402

CORES = 2
STREAMS = 64
READERS = 20
COLUMNS = 8

NOTES = {
    "Ensemble open": "the browser computes on the cores of the models",
    "browser": "counted over all processes of the browser, which draws in software here",
    "columns": "the browser lays out and draws the text of all columns on the cores of the models",
    "script": "scripts of one frame, out of a trace, which costs time itself",
}


def against(name, unit, ours, beside, beside_name, goal, note=""):
    """A row of a rate that must be at least `goal` times that without anybody who watches."""
    made = report.row(name, unit, ours, beside, beside_name, goal)
    return made | ({} if made["ok"] else {"note": note})


def bar(name, unit, value, most, note=""):
    """A row of which the value may be at most so much."""
    made = report.row(name, unit, value, most, "the most allowed", 1.0)
    ok = value <= most
    return made | {"better": "lower", "ok": ok} | ({} if ok else {"note": note})


def paired(arguments, watched, alone):
    """Medians of both functions' values, in alternating runs."""
    ours, theirs = [], []
    for run in range(arguments.runs):
        for act, values in ((alone, theirs), (watched, ours))[:: 1 if run % 2 == 0 else -1]:
            values.append(act())
    return statistics.median(ours), statistics.median(theirs)


# ---- the parts: each gives rows ------------------------------------------------------------------------


def ensemble(arguments, copies, folder, chrome):
    """Tokens a second of 4 models x 2 requests, over and over, with Ensemble in sight and with about:blank."""

    def rate(daemon):
        began, tokens = time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < arguments.seconds / 2:
            one = time.monotonic()
            tokens += daemon.load(2) * (time.monotonic() - one)
        return tokens / passed

    with Daemon(folder, copies, "--sequences", "2", "--context-tokens", "1024") as daemon:
        url = f"http://127.0.0.1:{daemon.port}"

        def opened():
            chrome.do("show", url=url, view="ensemble")
            return rate(daemon)

        def closed():
            chrome.do("blank")
            return rate(daemon)

        daemon.load(1)
        ours, theirs = paired(arguments, opened, closed)
        chrome.do("blank")
    return [against("Ensemble open / closed, 4 models x 2", "tok/s", ours, theirs, "about:blank", 0.95, NOTES["Ensemble open"])]


def subscribers(arguments, copies, folder, chrome):
    """64 streams beside 20 readers of all topics, and alone."""
    del chrome
    first = 0
    with Daemon(folder, copies[:1], "--sequences", str(STREAMS), "--context-tokens", "512") as daemon:
        pid = daemon.process.pid

        def rate():
            nonlocal first
            began, tokens = time.monotonic(), 0
            while time.monotonic() - began < arguments.seconds / 2:
                first += STREAMS
                drive(daemon.streams(STREAMS, tokens=128, first=first))
                tokens += STREAMS * 128
            return tokens / (time.monotonic() - began)

        bytes_a_second = []

        def watched():
            with Readers(daemon.socket, READERS) as readers:
                began = time.monotonic()
                made = rate()
                bytes_a_second.append(readers.bytes_read() / (time.monotonic() - began) / READERS)
            return made

        drive(daemon.streams(STREAMS, tokens=8))
        ours, theirs = paired(arguments, watched, rate)
        # Of a daemon that computes nothing: with work, what readers take is inside the rates.
        quiet, = cpu_while([lambda: {pid}], arguments.seconds / 2)
        resident = resident_bytes(pid)
        with Readers(daemon.socket, READERS) as readers:
            listening, = cpu_while([lambda: {pid}], arguments.seconds / 2)
            more = max(0, resident_bytes(pid) - resident)
            readers.bytes_read()
    return [against(f"{STREAMS} streams, {READERS} subscribers / none", "tok/s", ours, theirs, "nobody subscribed", 0.98),
            bar("a subscriber of all topics, 64 streams: bytes", "KB/s", statistics.median(bytes_a_second) / 1000, 20.0),
            bar("a subscriber, idle daemon: CPU", "% core", max(0.0, listening - quiet) / READERS, 0.5),
            bar("a subscriber, idle daemon: memory", "KiB", more / 1024 / READERS, 64.0)]


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(arguments, copies, folder, chrome):
    """What a daemon without work and a browser take: about:blank, the page in sight, the page hidden."""
    with Daemon(folder, copies[:1]) as daemon:
        url = f"http://127.0.0.1:{daemon.port}"
        daemon.load(2)  # some history to draw

        def costs():
            time.sleep(3)  # until what was just opened has settled
            return cpu_while([chrome.processes, lambda: {daemon.process.pid}], arguments.seconds)

        chrome.do("blank")
        blank, alone = costs()
        chrome.do("show", url=url, view="ensemble")
        sight, served = costs()
        chrome.do("hide", hidden=True)
        hidden, _ = costs()
        traffic = chrome.do("traffic", seconds=arguments.seconds / 2)
        chrome.do("blank")
    note = NOTES["browser"]
    return [bar("idle, page in sight: browser", "% core", max(0.0, sight - blank), 2.0, note),
            bar("idle, page in sight: daemon", "% core", max(0.0, served - alone), 0.2, "the frames of a page and its history"),
            bar("idle, page hidden: browser", "% core", max(0.0, hidden - blank), 0.3, note),
            report.row("idle, page hidden: bytes", "bytes", traffic["bytes"], None, "", None) |
            {"better": "lower", "ok": traffic["bytes"] == 0 and traffic["requests"] == 0} |
            ({"note": f"a hidden page has sent {traffic['requests']} requests"} if traffic["requests"] else {})]


def cold(arguments, copies, folder, chrome):
    """A browser that knows nothing of the page opens Ensemble, until the lanes and the history are drawn."""
    with Daemon(folder, copies[:1]) as daemon:
        daemon.load(2)
        time.sleep(2)  # until the second of the work is in the history
        opened = [chrome.do("cold", url=f"http://127.0.0.1:{daemon.port}") for _ in range(2 * arguments.runs + 1)]
        chrome.do("blank")
    return [bar("cold open to a full Ensemble", "ms", statistics.median(one["ms"] for one in opened), 500.0,
                "from the begin of the navigation"),
            bar("cold open to a full Ensemble: requests", "", statistics.median(len(one["requests"]) for one in opened), 8.0,
                "the last one: " + " ".join(opened[-1]["requests"]))]


def what_if(arguments, copies, folder, chrome):
    """A slider of What if? moves, until the page shows other bytes."""
    del arguments
    with Daemon(folder, copies[:1]) as daemon:
        times = chrome.do("whatIf", url=f"http://127.0.0.1:{daemon.port}", moves=20)
        chrome.do("blank")
    return [bar("what-if slider to bytes", "ms", statistics.median(times), 100.0, "each size that is new to the daemon is measured")]


def columns(arguments, copies, folder, chrome):
    """8 columns of Play write at once; the same call without a browser beside it."""
    tokens = int(min(4000, 60 * arguments.seconds))
    most = []
    with Daemon(folder, copies[:1], "--sequences", str(COLUMNS), "--context-tokens", str(8192)) as daemon:
        body = ""

        def watched():
            nonlocal body
            done = chrome.do("columns", url=f"http://127.0.0.1:{daemon.port}", model=daemon.names[0], count=COLUMNS, tokens=tokens)
            most.append(done["longest"])
            body = done["body"]
            return COLUMNS * tokens / done["seconds"]

        def alone():
            chrome.do("blank")
            return COLUMNS * tokens / seconds_of_call(daemon.port, body)

        # The first call gives the body that the page sends, and shows what the browser computes for it.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(watched)
            time.sleep(3)  # until all columns write
            share, = cpu_while([chrome.processes], arguments.seconds / 3)
            first.result()
        most.clear()
        ours, theirs = paired(arguments, watched, alone)
        chrome.do("blank")
    return [against(f"{COLUMNS} columns, {tokens} tokens each / no browser", "tok/s", ours, theirs, "the same call", 0.97, NOTES["columns"]),
            report.row(f"{COLUMNS} columns: browser", "% core", share, None, "", None),
            bar(f"{COLUMNS} columns: longest task (0: none of 50)", "ms", max(most), 50.0, NOTES["columns"])]


def seconds_of_call(port, body):
    """How long one stream of POST /choir/v1/parallel takes."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/choir/v1/parallel", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status != 200 or b'"type":"report"' not in data:
        raise RuntimeError(f"parallel gave {answer.status}: {data[-300:]!r}")
    return time.monotonic() - began


def requests_table(arguments, copies, folder, chrome):
    """1,000 made rows, 100 of which change four times a second, while the table scrolls."""
    with Daemon(folder, copies[:1]) as daemon:
        done = chrome.do("rows", url=f"http://127.0.0.1:{daemon.port}", seconds=arguments.seconds)
    kept = done["focus"] and done["selection"]
    script = (report.row("1,000 rows: script a frame, p95", "ms", None, None, "", None) |
              {"note": f"not measured: the trace has {done['frameCount']} frames"} if done["scriptP95"] is None else
              bar("1,000 rows: script a frame, p95", "ms", done["scriptP95"], 8.0, NOTES["script"]))
    return [bar("1,000 rows: longest task (0: none of 50)", "ms", done["longest"], 50.0, "in sight: some 40 rows"), script,
            report.row("1,000 rows: focus and selection stay", "1: yes", float(kept), None, "", None) | {"ok": kept}]


def hour(arguments, copies, folder, chrome):
    """The frames of an hour in a minute: what the page holds afterwards."""
    del arguments
    with Daemon(folder, copies[:1]) as daemon:
        done = chrome.do("hour", url=f"http://127.0.0.1:{daemon.port}", seconds=60)
    told = f"frames of {done['seconds'] / 60:.0f} minutes"
    return [bar(f"{told}: heap", "MB more", done["bytes"] / 1e6, 5.0),
            bar(f"{told}: DOM", "nodes more", done["nodes"], 0.05 * done["of"], f"of {done['of']}")]


def top(arguments, copies, folder, chrome):
    """`choir top` on a terminal of 80x24, beside a daemon without work."""
    del chrome
    with Daemon(folder, copies[:1]) as daemon:
        words = [router.CHOIR, "top", "--unix-socket", daemon.socket]
        firsts = [terminal.first_picture_ms(words, daemon.names[0])
                  for _ in range(2 * arguments.runs + 1)]
        with terminal.Terminal(words) as shown:
            shown.read_for(2)
            bytes_read, percent = shown.read_for(arguments.seconds)
    return [bar("choir top, 80x24, idle: CPU", "% core", percent, 1.0),
            bar("choir top, 80x24, idle: bytes", "KB/s", bytes_read / arguments.seconds / 1000, 4.0),
            bar("choir top: first picture", "ms", statistics.median(firsts), 150.0,
                "from the start of the program")]


# Each with the name that --only looks at, and whether it needs a browser.
PARTS = [("Ensemble", ensemble, True), ("subscribers", subscribers, False), ("idle", idle, True), ("cold open", cold, True),
         ("what-if", what_if, True), ("columns", columns, True), ("1,000 rows", requests_table, True), ("an hour", hour, True),
         ("choir top", top, False)]


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=12, help="of each state that is measured (default 12)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # of all that is started from here
    multiprocessing.set_start_method("fork")

    missing = browser.why_not()
    rows = []
    with router.four_copies("ui") as copies, contextlib.ExitStack() as stack:
        folder = os.path.dirname(copies[0])
        parts = [part for part in PARTS if report.wants(arguments, part[0])]
        chrome = stack.enter_context(Browser()) if not missing and any(needs for _, _, needs in parts) else None
        for name, part, needs in parts:
            if needs and chrome is None:
                rows.append(report.row(name, "", None, None, "", None) | {"note": f"not measured: {missing}"})
                continue
            print(f"ui: {name}", file=sys.stderr)
            for row in part(arguments, copies, folder, chrome):
                print(f"    {row['name']}: {row['choir']} {row['unit']}", file=sys.stderr)
                rows.append(row)
    sys.exit(report.finish("ui", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""`choir serve` under load: beside the C++ API, beside llama-server, and where clients come all at once, leave, or crowd each other out.

    ./dev bench serving [--json] [--check] [--runs 3] [--only NAME] [--no-peers]

The loads are those of `./dev bench router`, over HTTP; a cold model asked for by 50 clients; 500 clients that vanish at
random tokens; two tenants; /health and /v1/models with wrk and while all cores compute; the end by SIGTERM. The peer is
llama-server, built from Choir's own engine source on demand. Needs `choir pull smollm2-135m`.

Loopback only; every part ends by itself.
"""
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, "bench"), os.path.join(REPO, "bench", "report"), os.path.join(REPO, "bench", "peers")]
import llama_server  # noqa: E402
import peer_check  # noqa: E402
import report  # noqa: E402
import router  # noqa: E402
from at_once import at_once  # noqa: E402
from ending import end  # noqa: E402
from streams import Stream, drive  # noqa: E402

CHOIR = router.CHOIR
TOKENS = router.TOKENS
SEQUENCES = 64


class Daemon:
    """`choir serve` on a free port; its models are loaded. Ended by its process id."""

    def __init__(self, folder, models, *extra):
        self.socket = os.path.join(folder, "choir.sock")
        words = [CHOIR, "serve", "--port", "0", "--bind", "127.0.0.1", "--unix-socket", self.socket, "--preload", *extra]
        for model in models:
            words += ["--model", model]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        welcome = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", welcome)
        if not found:
            raise RuntimeError(f"choir serve ended with {self.process.wait()}")
        self.port = int(found[1])
        self.names = [os.path.basename(model).removesuffix(".gguf") for model in models]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process, 60)
        self.process.stdout.close()

    def ask(self, method, path, body=None, headers=None, timeout=900):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} gave {answer.status}: {data[:300]!r}")
        return data

    def admin(self, method, path):
        """The JSON of a route over the unix socket, which may change things."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket)
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: choir\r\nConnection: close\r\n"
                               "Content-Length: 0\r\n\r\n".encode())
            data = b""
            while more := connection.recv(65536):
                data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"{method} {path}: {data[:300]!r}")
        return json.loads(body)

    def model(self, name):
        return self.admin("GET", f"/choir/v1/models/{name}")

    def complete(self, name, text):
        body = {"model": name, "prompt": text, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0.8}
        return json.loads(self.ask("POST", "/v1/completions", body))["usage"]["completion_tokens"]

    def load(self, requests_each):
        """Tokens a second of all requests at once."""
        jobs = [lambda name=name, text=router.TEXTS[(i * len(self.names) + m) % len(router.TEXTS)]: self.complete(name, text)
                for i in range(requests_each) for m, name in enumerate(self.names)]
        counts, seconds = at_once(jobs)
        return sum(counts) / seconds

    def streams(self, count, name=None, tokens=TOKENS, first=0, headers=None):
        """Open streams with prompts unlike all others; nothing has been read."""
        return [Stream(self.port, {"model": name or self.names[0], "prompt": prompt_of(first + i), "max_tokens": tokens,
                                   "ignore_eos": True, "stream": True}, headers) for i in range(count)]


def prompt_of(number):
    return (f"Letter {number * 7919}. Dear friend, today I want to tell you about the old harbour, its boats, and the "
            "people who mend their nets there in the evening.")


def row(name, unit, ours, beside, beside_name, goal, better="higher"):
    """A row of which the second figure is what the first is held against; `goal` is for their ratio."""
    made = report.row(name, unit, ours, beside, beside_name, goal)
    if better == "lower" and made["ratio"] is not None:
        made |= {"better": "lower", "ok": goal is None or made["ratio"] <= goal}
    return made


def limit_row(name, unit, value, limit):
    """A row with a limit: at most so much."""
    return row(name, unit, value, limit, "the most allowed", 1.0, "lower")


# ---- the parts: each gives rows ------------------------------------------------------------------------

LOADS = [("4 models x 2 requests", 4, 2, ["-t", "1", "-tb", "1"]),
         ("4 models x 8 requests", 4, 8, ["-t", "1", "-tb", "1", "-np", "8"]),
         ("1 model x 8 requests", 1, 8, ["-np", "8"])]


def loads(arguments, copies, folder, peer):
    rows = []
    for name, count, each, extra in LOADS:
        if not report.wants(arguments, name):
            continue
        over_http, native, theirs = [], [], []
        for run in range(arguments.runs):
            parts = [lambda: native.append(router.choir_load(copies[:count], each)),
                     lambda: over_http.append(http_load(folder, copies[:count], each))]
            for part in parts if run % 2 == 0 else reversed(parts):
                part()
            if peer:
                server = llama_server.Server(peer, copies[:count], folder, extra)
                try:
                    server.wait_ready()
                    theirs.append(server.load(each, router.TEXTS, TOKENS))
                finally:
                    server.stop()
        rows.append(row(f"{name}, HTTP / C++ API", "tok/s", statistics.median(over_http), statistics.median(native),
                        "choir parallel", 0.95))
        if peer:
            rows.append(row(f"{name}, HTTP / llama-server", "tok/s", statistics.median(over_http),
                            statistics.median(theirs), "llama-server", None))
    return rows


def http_load(folder, models, each):
    with Daemon(folder, models, "--sequences", str(each), "--context-tokens", "1024") as daemon:
        daemon.load(1)  # warm, as `choir parallel` is
        return daemon.load(each)


def replies(arguments, copies, folder, peer):
    rows = []
    if not report.wants(arguments, "wrk") or not peer:
        return rows
    wrk = shutil.which("wrk")
    if not wrk:
        raise SystemExit("bench serving: wrk is needed for 'wrk': apt-get install wrk; or leave it out with --only")

    def rate(port, path):
        done = subprocess.run([wrk, "-t1", "-c16", "-d3s", f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True,
                              check=True)
        if "Non-2xx" in done.stdout:
            raise RuntimeError(done.stdout)
        return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])

    paths = ("/health", "/v1/models")
    ours, theirs, bare, two = ({path: [] for path in paths} for _ in range(4))
    for _ in range(arguments.runs):
        with Daemon(folder, copies[:1]) as daemon:
            sizes = [len(daemon.ask("GET", path)) for path in paths]
            for path in paths:
                ours[path].append(rate(daemon.port, path))
        server = llama_server.Server(peer, copies[:1], folder, [])
        try:
            server.wait_ready()
            for path in paths:
                theirs[path].append(rate(server.port, path))
        finally:
            server.stop()
        for path, size in zip(paths, sizes):
            for threads, rates in ((1, bare), (2, two)):
                with bare_loop(size, threads) as port:
                    rates[path].append(rate(port, path))
    for path in paths:
        peers = statistics.median(theirs[path])
        rows.append(row(f"wrk {path}", "replies/s", statistics.median(ours[path]), peers, "llama-server", 3.0))
        for threads, rates in (("one thread that only sends", bare), ("two threads that only send", two)):
            rows.append(row(f"wrk {path}, {threads}", "replies/s", statistics.median(rates[path]), peers, "llama-server", None))
    return rows


@contextlib.contextmanager
def bare_loop(size, threads):
    """The port of a server that sends a body of this size and reads nothing: the most that so many threads can do here."""
    words = [os.path.join(os.path.dirname(CHOIR), "bench_bare_loop"), str(size), str(threads)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1])
        finally:
            process.stdin.close()
            process.wait(10)


def health(arguments, copies, folder, peer):
    """/health 200 times a second while all cores compute: counted from when each was due."""
    del peer
    if not report.wants(arguments, "p99 of /health"):
        return []
    with Daemon(folder, copies[:1], "--sequences", "16", "--context-tokens", "2048") as daemon:
        streams = daemon.streams(16, tokens=1500)
        reader = threading.Thread(target=drive, args=(streams,))
        reader.start()
        time.sleep(1)
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        late = []
        began = time.monotonic()
        for i in range(2000):
            due = began + i / 200
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            connection.request("GET", "/health")
            connection.getresponse().read()
            late.append(time.monotonic() - due)
        busy = not all(stream.ended for stream in streams)
        for stream in streams:
            stream.leave_after = 0
        reader.join()
        if not busy:
            raise RuntimeError("the streams ended before the last /health; it was not measured under load")
    return [limit_row("p99 of /health, cores busy", "ms", 1000 * sorted(late)[int(0.99 * len(late))], 50)]


def cold(arguments, copies, folder, peer):
    del peer
    name = "50 clients, a cold model: last first token"
    if not report.wants(arguments, name):
        return []
    ratios, colds, warms = [], [], []
    with Daemon(folder, copies[:1], "--sequences", str(SEQUENCES), "--context-tokens", "512") as daemon:
        model = daemon.names[0]
        first = 0
        for _ in range(arguments.runs):
            times = []
            for state in ("cold", "warm"):
                if state == "cold":
                    daemon.admin("POST", f"/choir/v1/models/{model}/unload")
                loads_before = loads_of(daemon)
                began = time.monotonic()
                first += 50
                streams = daemon.streams(50, tokens=4, first=first)
                drive(streams)
                if any(stream.first is None for stream in streams):
                    raise RuntimeError(f"a stream had no token: {[s.tail for s in streams if s.first is None][:1]}")
                times.append(max(stream.first for stream in streams) - began)
                loads_made = loads_of(daemon) - loads_before
                if loads_made != (1 if state == "cold" else 0):
                    raise RuntimeError(f"{loads_made} loads for 50 clients of a {state} model")
            colds.append(times[0])
            warms.append(times[1] + daemon.model(model)["load_seconds"])
            ratios.append(colds[-1] / warms[-1])
    made = row(name, "s", statistics.median(colds), statistics.median(warms), "the load + the same 50 warm", 1.1, "lower")
    return [made | {"ratio": statistics.median(ratios), "ok": statistics.median(ratios) <= 1.1}]


def loads_of(daemon):
    found = re.search(r"^choir_load_seconds_count\S* (\d+)", daemon.ask("GET", "/metrics").decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def vanish(arguments, copies, folder, peer):
    del peer
    name = "500 clients vanish: all places free after"
    if not report.wants(arguments, name):
        return []
    rng = random.Random(7)
    with Daemon(folder, copies[:1], "--sequences", str(SEQUENCES), "--context-tokens", "512") as daemon:
        streams = daemon.streams(500, tokens=400)
        for stream in streams:
            stream.leave_after = rng.uniform(0.2, 4)
        drive(streams)
        gone = time.monotonic()
        while True:
            model = daemon.model(daemon.names[0])
            free = time.monotonic() - gone
            if model["running"] == 0 and model["waiting"] == 0 and model["cells"] == 0:
                break
            if free > 30:
                raise RuntimeError(f"30 s after all clients had gone: {model}")
            time.sleep(0.002)
        steps = re.findall(r"^choir_step_seconds_(sum|count)\S* ([\d.e+-]+)", daemon.ask("GET", "/metrics").decode(),
                           re.MULTILINE)
    sums = dict(steps)
    step = float(sums["sum"]) / float(sums["count"])
    return [limit_row(name, "ms", 1000 * free, 1000 * (step + 0.1))]


def tenants(arguments, copies, folder, peer):
    """One tenant's first tokens beside another with one request at a time, then with ten."""
    del peer
    name = "p99 first token beside a tenant at 10x / 1x"
    if not report.wants(arguments, name):
        return []
    keys_file = os.path.join(folder, "keys.json")
    keys = {tenant: subprocess.run([CHOIR, "key", "new", tenant, "--keys", keys_file], capture_output=True, text=True,
                                   check=True).stdout.split()[0] for tenant in ("quiet", "loud")}
    headers = {tenant: {"Authorization": f"Bearer {key}"} for tenant, key in keys.items()}
    forked = multiprocessing.get_context("fork")

    def loud(daemon, crowd, first, stop):
        def ask(number):
            count = 0
            while not stop.is_set():
                count += 1
                drive(daemon.streams(1, tokens=48, first=first + 100_000 * (number + 1) + count, headers=headers["loud"]))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(crowd)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def p99(daemon, crowd, first):
        # In a process of its own, so that its threads do not hold up the clock of the quiet one.
        stop = forked.Event()
        others = forked.Process(target=loud, args=(daemon, crowd, first, stop))
        others.start()
        time.sleep(2)
        seconds = []
        for i in range(150):
            began = time.monotonic()
            stream, = daemon.streams(1, tokens=16, first=first + i, headers=headers["quiet"])
            drive([stream])
            seconds.append(stream.first - began)
        stop.set()
        others.join()
        return sorted(seconds)[int(0.99 * len(seconds))]

    ones, tens = [], []
    with Daemon(folder, copies[:1], "--sequences", "16", "--context-tokens", "512", "--keys", keys_file) as daemon:
        for run in range(arguments.runs):
            ones.append(1000 * p99(daemon, 1, 1_000_000 * (2 * run + 1)))
            tens.append(1000 * p99(daemon, 10, 1_000_000 * (2 * run + 2)))
    return [row(name, "ms", statistics.median(tens), statistics.median(ones), "at 1x", 1.5, "lower")]


def the_end(arguments, copies, folder, peer):
    del peer
    name = "SIGTERM with 20 idle streams and 20 idle connections"
    if not report.wants(arguments, name):
        return []
    with Daemon(folder, copies[:1]) as daemon, contextlib.ExitStack() as open_ones:
        for _ in range(20):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            events = open_ones.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            events.sendall(b"GET /choir/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if b" 200 " not in events.recv(4096):
                raise RuntimeError("/choir/v1/events did not answer")
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(60)
        return [limit_row(name, "s", time.monotonic() - began, 4)]


PARTS = [loads, replies, health, cold, vanish, tenants, the_end]


def main():
    arguments = report.parser(__doc__).parse_args()
    rows = []
    with router.four_copies("serving") as copies:
        folder = os.path.dirname(copies[0])
        peer = None if arguments.no_peers else peer_check.trusted_program(REPO, "llama-server", copies[:1])
        for part in PARTS:
            rows += part(arguments, copies, folder, peer)
    sys.exit(report.finish("serving", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()

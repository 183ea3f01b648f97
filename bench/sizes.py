#!/usr/bin/env python3
"""Models of the sizes that people use, with random weights: Choir beside llama.cpp and OpenVINO GenAI, the same files in one run.

    ./dev bench sizes [--models NAME:QUANTIZATION,...] [--folder DIR] [--only NAME] [--runs 3] [--repeat 1]
                      [--no-peers] [--without-openvino] [--json] [--check]

tools/make_sized_models.py writes the files that are missing and lists the names; nothing is fetched for them. Prefill is 512
tokens of one request, decode is 32 tokens of each request behind prompts of 8. llama.cpp runs with flash attention on and off
in the first run, and in the others with what was faster. The first model runs four times beside itself, too.

Of decode with one request there are the bytes of weights that a token reads, times the tokens a second, beside what all
cores can read of memory in the same run, before it or behind it, at best. Both sides of every other ratio are medians of
alternating runs. Stops by itself.

On a machine without network and build, set CHOIR_BIN (the program `choir`; `bench_memory` is looked for beside it, or where
CHOIR_BENCH_MEMORY says) and CHOIR_PEER_BIN (a folder with llama-server and llama-batched-bench), and call this file with python3.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, folder) for folder in ("bench", "bench/report", "bench/peers", "tools")]
import gguf_file  # noqa: E402
import llama_server  # noqa: E402
import make_sized_models as sized  # noqa: E402
import openvino_venv  # noqa: E402
import peer_check  # noqa: E402
import report  # noqa: E402
import router  # noqa: E402
import throughput  # noqa: E402

MODELS = "llama-1b:Q4_K_M,llama-1b:Q8_0,llama-3b:Q4_K_M,llama-3b:Q8_0,qwen-0.5b:Q4_K_M,moe-small:Q4_K_M"
CACHE = os.environ.get("CHOIR_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "choir")
TOKENS = 32
PROMPT_TOKENS = 8  # before a decode; `choir bench` has no other

# batch, prompt tokens, what; and the goal beside llama.cpp of each name of a model that has one
LOADS = [
    (1, 512, "prefill", {"llama-1b": 2.5, "llama-3b": 2.5}),
    (1, PROMPT_TOKENS, "decode", {}),
    (8, PROMPT_TOKENS, "decode", {"llama-1b": 4.5}),
    (32, PROMPT_TOKENS, "decode", {"llama-1b": 6.0}),
]
OF_MEMORY = {"llama-1b": 0.85}  # the goal for the share of the memory bandwidth
COPIES, REQUESTS_EACH = 4, 4


def name_of(model, load):
    batch, prompt, what, _ = load
    return f"{model} {what} {prompt if what == 'prefill' else batch}"


def as_throughput(model, load):
    """The load as bench/throughput.py has them."""
    batch, prompt, what, goals = load
    return (model, batch, prompt, what, None, goals.get(model.partition(":")[0]))


def copies_name(model):
    return f"{COPIES} models {model} x {REQUESTS_EACH} requests"


def memory_name(model):
    return f"{model} decode 1, weights read"


def bytes_a_token(keys, tensors):
    """Of weights, that one token reads: all matrices but a table of which it reads a row, and of experts those that are used."""
    architecture = keys["general.architecture"]
    tied = all(name != "output.weight" for name, _, _ in tensors)
    used = keys.get(f"{architecture}.expert_used_count", 0)
    count = keys.get(f"{architecture}.expert_count", 0)
    total = 0
    for name, _, size in tensors:
        if name == "token_embd.weight" and not tied:
            continue
        total += size * used // count if "_exps." in name else size
    return total


def bytes_of_file(path):
    return bytes_a_token(*gguf_file.read_front(path))


def memory_rate():
    """Gigabytes a second that all cores read; None where the program is missing."""
    program = os.environ.get("CHOIR_BENCH_MEMORY") or os.path.join(os.path.dirname(throughput.CHOIR), "bench_memory")
    if not os.path.exists(program):
        return None
    done = subprocess.run([program, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["rows"][0]["choir"]


class Llama:
    """llama.cpp with the better of flash attention on and off, which the first run of each load finds."""

    def __init__(self, program):
        self.program = program
        self.better = {}

    def rate(self, path, load):
        key = (load[0], *load[1:4])
        flashes = [self.better[key]] if key in self.better else ["on", "off"]
        rates = {flash: throughput.llama(self.program, path, load, TOKENS, flash) for flash in flashes}
        self.better[key] = max(rates, key=rates.get)
        return rates[self.better[key]]


class OpenVino:
    """OpenVINO GenAI, as long as it takes the file."""

    def __init__(self, wanted):
        self.refused = {}
        self.python = None
        if wanted:
            try:
                self.python = openvino_venv.python()
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"without OpenVINO GenAI: {error}", file=sys.stderr)

    def rates(self, path, loads):
        """One for each load; none where it does not load the file."""
        model = loads[0][0]
        if self.python is None or model in self.refused:
            return []
        try:
            return throughput.openvino(self.python, path, loads, TOKENS)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or [f"it ended with {error.returncode}"]
            self.refused[model] = lines[-1]
            print(f"OpenVINO GenAI does not run {model}: {lines[-1]}", file=sys.stderr)
            return []


class Figures:
    """What was measured, by name and side, one number a run."""

    def __init__(self):
        self.runs = {}

    def add(self, name, side, value):
        self.runs.setdefault((name, side), []).append(value)
        print(f"{name}: {side} {value:.2f}", file=sys.stderr)

    def median(self, name, side):
        values = self.runs.get((name, side))
        return statistics.median(values) if values else None

    def best(self, name, side):
        """What other work on the machine takes away is no limit of the machine."""
        return max(self.runs.get((name, side), [None]))


def measure_memory(figures, model):
    memory = memory_rate()
    if memory:
        figures.add(memory_name(model), "memory", memory)


def measure(figures, model, path, loads, repeat, peers):
    """One run of a model's loads on all sides."""
    llama, openvino = peers
    throughput_loads = [as_throughput(model, load) for load in loads]
    for load, of_throughput in zip(loads, throughput_loads):
        name = name_of(model, load)
        decode_1 = (load[0], load[2]) == (1, "decode")
        if decode_1:
            measure_memory(figures, model)
        figures.add(name, "choir", throughput.choir(path, of_throughput, repeat, TOKENS))
        if decode_1:
            measure_memory(figures, model)
        if llama:
            figures.add(name, "llama.cpp", llama.rate(path, of_throughput))
    if throughput_loads:
        for load, rate in zip(loads, openvino.rates(path, throughput_loads)):
            figures.add(name_of(model, load), "OpenVINO GenAI", rate)


def measure_copies(figures, model, path, runs, server_program):
    """Four files of one model, so that neither side can share their weights; the peer with an even share of the cores."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // COPIES))
    with tempfile.TemporaryDirectory(prefix=".copies-", dir=os.path.dirname(path)) as folder:
        copies = [os.path.join(folder, f"model-{i + 1}.gguf") for i in range(COPIES)]
        for copy in copies:
            shutil.copyfile(path, copy)
        extra = ["-t", threads, "-tb", threads, "-np", str(REQUESTS_EACH)]
        for _ in range(runs):
            if server_program:
                server = llama_server.Server(server_program, copies, folder, extra)
                try:
                    server.wait_ready()
                    figures.add(copies_name(model), f"router, threads a model: {threads}",
                                server.load(REQUESTS_EACH, router.TEXTS, router.TOKENS))
                finally:
                    server.stop()
            figures.add(copies_name(model), "choir", router.choir_load(copies, REQUESTS_EACH))


def rows_of(figures, model, path, loads):
    out = []
    kind = model.partition(":")[0]
    for load in loads:
        name = name_of(model, load)
        mine = figures.median(name, "choir")
        peers = [(side, figures.median(name, side)) for side in ("llama.cpp", "OpenVINO GenAI")]
        peers = [(side, rate) for side, rate in peers if rate is not None] or [("", None)]
        for side, rate in peers:
            out.append(report.row(name, "tok/s", mine, rate, side, load[3].get(kind) if side == "llama.cpp" else None))
        if (load[0], load[2]) == (1, "decode"):
            size = bytes_of_file(path)
            memory = report.row(memory_name(model), "GB/s", mine * size / 1e9, figures.best(memory_name(model), "memory"),
                                "all that memory gives", OF_MEMORY.get(kind))
            memory["note"] = f"{size / 1e6:.0f} MB a token"
            out.append(memory)
    return out


def rows_of_copies(figures, model):
    name = copies_name(model)
    sides = [side for of, side in figures.runs if of == name and side != "choir"]
    side = sides[0] if sides else ""
    return [report.row(name, "tok/s", figures.median(name, "choir"), figures.median(name, side), side, None)]


def files(models, folder):
    """The path of each model, written where it is missing."""
    found = {}
    for model in models:
        path = sized.path_of(folder, model)
        if not path.exists():
            print(f"writing {path}", file=sys.stderr)
            sized.write(folder, model)
        found[model] = str(path)
    return found


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--models", default=MODELS, help="NAME:QUANTIZATION,... of tools/make_sized_models.py")
    parser.add_argument("--folder", default=os.path.join(CACHE, "sized-models"), help="where the files are, or are to be")
    parser.add_argument("--without-openvino", action="store_true")
    parser.add_argument("--repeat", type=int, default=1, help="repetitions inside a run of `choir bench` (default 1)")
    arguments = parser.parse_args()

    models = arguments.models.split(",")
    wanted = {model: [load for load in LOADS if report.wants(arguments, name_of(model, load))] for model in models}
    with_copies = report.wants(arguments, copies_name(models[0]))
    wanted = {model: loads for model, loads in wanted.items() if loads or (with_copies and model == models[0])}
    paths = files(wanted, arguments.folder)
    batched = None if arguments.no_peers else peer_check.trusted_program(REPO, "llama-batched-bench", paths.values())
    peers = (Llama(batched) if batched else None,
             OpenVino(not (arguments.no_peers or arguments.without_openvino)))

    figures = Figures()
    for _ in range(arguments.runs):
        for model, loads in wanted.items():
            measure(figures, model, paths[model], loads, arguments.repeat, peers)
    rows = [row for model, loads in wanted.items() for row in rows_of(figures, model, paths[model], loads)]
    if with_copies:
        server = None if arguments.no_peers else report.peer_program(REPO, "llama-server")
        measure_copies(figures, models[0], paths[models[0]], arguments.runs, server)
        rows += rows_of_copies(figures, models[0])
    sys.exit(report.finish("sizes", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()

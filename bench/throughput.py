#!/usr/bin/env python3
"""One model, many requests: Choir beside llama.cpp and OpenVINO GenAI, the same file in one run.

    ./dev bench throughput [--json] [--check] [--runs 3] [--only NAME] [--without-openvino] [--no-peers]
                           [--repeat 3]

Prefill is prompt tokens per second until the first token of all requests; decode is the rest, 64 tokens a request.
llama.cpp is `llama-batched-bench` of Choir's own engine source, built on demand; OpenVINO GenAI comes from PyPI into a folder
of its own beside the models. Both sides of a ratio are medians of alternating runs. Stops by itself.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, "bench", "report"), os.path.join(REPO, "bench", "peers")]
import llama_server  # noqa: E402
import openvino_venv  # noqa: E402
import peer_check  # noqa: E402
import report  # noqa: E402

CHOIR = os.environ.get("CHOIR_BIN") or os.path.join(REPO, "build", "bin", "choir")
TOKENS = 64

# model, batch, prompt tokens, what: prefill or decode, goal beside OpenVINO, goal beside llama.cpp
LOADS = [
    ("smollm2-135m", 1, 256, "prefill", 1.6, 11.0),
    ("smollm2-135m", 1, 70, "decode", 3.0, 3.0),
    ("smollm2-135m", 8, 70, "decode", 2.0, None),
    ("smollm2-135m", 32, 70, "decode", 2.5, None),
    ("smollm2-135m", 64, 70, "decode", 2.5, None),
    ("smollm2-135m", 32, 200, "decode", 2.0, None),
    ("smollm2-135m", 32, 600, "decode", 2.0, None),
    ("gemma3-270m", 1, 256, "prefill", None, 4.0),
    ("gemma3-270m", 1, 70, "decode", None, 1.5),
    ("gemma3-270m", 8, 70, "decode", None, 4.0),
    ("gemma3-270m", 32, 70, "decode", None, 5.0),
    ("stories260K", 1, 30, "decode", None, 1.0),
    ("stories260K", 8, 30, "decode", None, 1.0),
    ("stories260K", 32, 30, "decode", None, 1.0),
    ("stories260K", 64, 30, "decode", None, 1.0),
]
# The headline: 64 sessions with prompts of their own, all at once through Choir, one after another in llama-server.
# As in a chat, all prompts begin with the same words, and both sides may keep what they computed for those.
TEMPLATE = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n")
TASKS = ["Explain {} in simple words.", "Write a short poem about {}.", "What should a child know about {}?",
         "Give three tips about {}.", "Tell a short story about {}.", "Why do people like {}?",
         "What is the history of {}?", "How would you describe {} to a friend?"]
TOPICS = ["the sea", "bicycles", "bread", "lighthouses", "the night sky", "gardens", "winter", "old maps"]
SESSION_TEXTS = [TEMPLATE.format(task.format(topic)) for task in TASKS for topic in TOPICS]


HEADLINE = f"{len(SESSION_TEXTS)} sessions, all in; one request at a time"


def name_of(load):
    model, batch, prompt, what, *_ = load
    return f"{model} {what} {prompt if what == 'prefill' else f'{batch} x {prompt}+{TOKENS}'}"


def paths():
    found = {"stories260K": os.path.join(REPO, "models", "stories260K.gguf")}
    for name in ("smollm2-135m", "gemma3-270m"):
        subprocess.run([CHOIR, "pull", name], capture_output=True, check=True)
    listed = json.loads(subprocess.run([CHOIR, "models", "--json"], capture_output=True, text=True, check=True).stdout)
    found.update({m["name"]: m["path"] for m in listed["local"]})
    return {name: found[name] for name in {load[0] for load in LOADS}}


def choir(path, load, repeat, tokens=TOKENS):
    _, batch, prompt, what, *_ = load
    words = [CHOIR, "bench", path, "--batch", str(batch), "--prompt-tokens", str(prompt), "--tokens", str(tokens),
             "--repeat", str(repeat), "--json"]
    answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    rows = [r for r in answer["rows"] if r["test"].startswith(what) and r["batch"] == batch]
    return rows[0]["tokens_per_second"]


def llama(program, path, load, tokens=TOKENS, flash="on"):
    _, batch, prompt, what, *_ = load
    threads = str(len(os.sched_getaffinity(0)))
    context = batch * (prompt + tokens) + 256
    words = [program, "-m", path, "-c", str(context), "-b", "2048", "-ub", "512", "-npp", str(prompt), "-ntg",
             str(tokens), "-npl", str(batch), "-t", threads, "-tb", threads, "-fa", flash, "--output-format", "jsonl"]
    for _ in range(5):  # its random tokens now and then end a run of the smallest model before the first row
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if lines:
            return lines[-1]["speed_pp" if what == "prefill" else "speed_tg"]
    raise RuntimeError(f"llama-batched-bench gave no row: {' '.join(words)}")


def openvino(python, path, loads, tokens=TOKENS):
    wanted = [{"batch": load[1], "prompt_tokens": load[2], "tokens": tokens} for load in loads]
    script = os.path.join(REPO, "bench", "peers", "openvino_peer.py")
    threads = str(len(os.sched_getaffinity(0)))
    done = subprocess.run([python, script, path, threads], input=json.dumps(wanted), capture_output=True, text=True,
                          check=True)
    return [answer[load[3]] for load, answer in zip(loads, json.loads(done.stdout))]


def headline(path, program, runs):
    """Tokens a second of all sessions through `choir parallel`, and of one request at a time in llama-server
    (without `program` not)."""
    ours, theirs = [], []
    words = [CHOIR, "parallel", "--model", path, "--sessions", str(len(SESSION_TEXTS)), "--max-tokens", str(TOKENS),
             "--temperature", "0.8", "--ignore-eos", "--raw", "--json"]
    for text in SESSION_TEXTS:
        words += ["--prompt", text]
    threads = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="choir-throughput-") as folder:
        for run in range(runs):
            if program:
                server = llama_server.Server(program, [path], folder, ["-np", "1", "-t", threads, "-tb", threads])
                try:
                    server.wait_ready()
                    theirs.append(server.one_by_one(SESSION_TEXTS, TOKENS))
                finally:
                    server.stop()
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            ours.append(json.loads(done.stdout)["throughput"])
            print(f"run {run + 1}: 64 sessions: choir {ours[-1]:.0f}, llama-server {theirs[-1:]}", file=sys.stderr)
    peer = statistics.median(theirs) if theirs else None
    return report.row(HEADLINE, "tok/s", statistics.median(ours), peer, "llama-server" if theirs else "", 20.0)


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--without-openvino", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions inside a run of `choir bench` (default 3)")
    arguments = parser.parse_args()
    intel = not (arguments.without_openvino or arguments.no_peers)

    files = paths()
    program = None if arguments.no_peers else peer_check.trusted_program(REPO, "llama-batched-bench", files.values())
    python = openvino_venv.python() if intel else None
    loads = [load for load in LOADS if report.wants(arguments, name_of(load))]
    ours = {name_of(load): [] for load in loads}
    theirs = {name_of(load): [] for load in loads}
    intels = {name_of(load): [] for load in loads}
    beside_intel = [load for load in loads if load[4] is not None and python]
    for run in range(arguments.runs):
        for load in loads:
            name = name_of(load)
            ours[name].append(choir(files[load[0]], load, arguments.repeat))
            if program and load[5] is not None:
                theirs[name].append(llama(program, files[load[0]], load))
            print(f"run {run + 1}: {name}: choir {ours[name][-1]:.0f}, llama.cpp {theirs[name][-1:]}", file=sys.stderr)
        if beside_intel:
            for load, rate in zip(beside_intel, openvino(python, files["smollm2-135m"], beside_intel)):
                intels[name_of(load)].append(rate)
                print(f"run {run + 1}: {name_of(load)}: OpenVINO {rate:.0f}", file=sys.stderr)

    rows = []
    for load in loads:
        name = name_of(load)
        mine = statistics.median(ours[name])
        if intels[name]:
            rows.append(report.row(name, "tok/s", mine, statistics.median(intels[name]), "OpenVINO GenAI", load[4]))
        if arguments.no_peers:
            rows.append(report.row(name, "tok/s", mine, None, "", None))
        if theirs[name]:
            rows.append(report.row(name, "tok/s", mine, statistics.median(theirs[name]), "llama.cpp", load[5]))
    if report.wants(arguments, HEADLINE):
        server_program = None if arguments.no_peers else report.peer_program(REPO, "llama-server")
        rows.append(headline(files["smollm2-135m"], server_program, arguments.runs))
    sys.exit(report.finish("throughput", rows, arguments.json, arguments.check))


if __name__ == "__main__":
    main()

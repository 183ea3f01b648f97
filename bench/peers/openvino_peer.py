"""OpenVINO GenAI under the loads of `bench/throughput.py`, which runs this with the Python that has it.

    openvino_peer.py MODEL.gguf[,...] THREADS    the loads as JSON on standard input, the rates on standard output

A load is {"batch", "prompt_tokens", "tokens"}; its answer {"prefill", "decode"} in tokens per second. Prefill is
the time to the first token of all requests; decode is the rest. With several models every load goes to each of them at
once, each in a pipeline of THREADS of its own, and the answer is {"all"}: written tokens per second of all together.
"""
import functools
import json
import sys
import time

import openvino_genai as genai

from at_once import at_once


def prompts(pipeline, load):
    """Different texts of exactly prompt_tokens tokens."""
    import openvino as ov
    import numpy as np
    out = []
    for request in range(load["batch"]):
        ids = [(request * 7919 + i * 104729) % 40000 + 100 for i in range(load["prompt_tokens"])]
        out.append(ov.Tensor(np.array([ids], dtype=np.int64)))
    return out


def seconds(pipeline, inputs, tokens):
    config = genai.GenerationConfig()
    config.max_new_tokens = tokens
    config.ignore_eos = True
    config.do_sample = False
    begin = time.perf_counter()
    results = pipeline.generate(inputs, [config] * len(inputs))
    taken = time.perf_counter() - begin
    for result in results:
        made = len(result.m_generation_ids[0])
        if made < tokens:
            raise RuntimeError(f"OpenVINO made {made} of {tokens} tokens")
    return taken


def new_pipeline(model, threads, gigabytes):
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = gigabytes
    scheduler.max_num_seqs = 256
    scheduler.enable_prefix_caching = False
    return genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {}, {"INFERENCE_NUM_THREADS": threads})


def one_model(pipeline, load):
    inputs = prompts(pipeline, load)
    seconds(pipeline, inputs, 2)  # warm
    first = min(seconds(pipeline, inputs, 1) for _ in range(2))
    whole = min(seconds(pipeline, inputs, load["tokens"]) for _ in range(2))
    return {"prefill": load["batch"] * load["prompt_tokens"] / first,
            "decode": load["batch"] * (load["tokens"] - 1) / (whole - first)}


def all_models(pipelines, load):
    inputs = prompts(pipelines[0], load)
    for pipeline in pipelines:
        seconds(pipeline, inputs, 2)  # warm
    best = 0.0
    for _ in range(2):
        _, taken = at_once([functools.partial(seconds, pipeline, inputs, load["tokens"]) for pipeline in pipelines])
        best = max(best, len(pipelines) * load["batch"] * load["tokens"] / taken)
    return {"all": best}


def main():
    models, threads = sys.argv[1].split(","), int(sys.argv[2])
    loads = json.load(sys.stdin)
    pipelines = [new_pipeline(model, threads, 4 if len(models) == 1 else 1) for model in models]
    if len(models) == 1:
        answers = [one_model(pipelines[0], load) for load in loads]
    else:
        answers = [all_models(pipelines, load) for load in loads]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes GGUF files in the sizes that people use, with random weights, for benchmarks on machines that have no model.

    tools/make_sized_models.py FOLDER NAME:QUANTIZATION... [--seed N]    prints their paths
    tools/make_sized_models.py --list                                     the names and quantizations

The shapes are those of models that people run, the mix of types is that of llama.cpp's quantizer. The same seed gives the
same bytes. The weights of a matrix come from a pool of random blocks, so that gigabytes are written at the speed of the
disk: their content repeats, their places in memory do not. The models generate nonsense. Needs only the standard library.
"""

import argparse
import math
import os
import random
import shutil
import struct
import sys
from collections import namedtuple
from pathlib import Path

from gguf_file import ALIGNMENT, F32, PLAIN_TOKENS, TYPES, front, large_vocabulary_keys

# and the type of most of its weights
QUANTIZATIONS = {"Q4_K_M": "Q4_K", "Q8_0": "Q8_0", "Q4_0": "Q4_0"}
FILE_TYPES = {"Q4_K_M": 15, "Q8_0": 7, "Q4_0": 2}  # llama.cpp's numbers

Shape = namedtuple("Shape", "architecture embedding layers heads kv_heads head feed_forward vocabulary tied experts used",
                   defaults=(0, 0))
SHAPES = {
    "llama-0.5b": Shape("llama", 1024, 24, 16, 4, 64, 4096, 128256, True),
    "llama-1b": Shape("llama", 2048, 16, 32, 8, 64, 8192, 128256, True),
    "llama-3b": Shape("llama", 3072, 28, 24, 8, 128, 8192, 128256, True),
    "llama-8b": Shape("llama", 4096, 32, 32, 8, 128, 14336, 128256, False),
    "qwen-0.5b": Shape("qwen2", 896, 24, 14, 2, 64, 4864, 151936, True),
    "qwen-1.5b": Shape("qwen2", 1536, 28, 12, 2, 128, 8960, 151936, True),
    "qwen-3b": Shape("qwen2", 2048, 36, 16, 2, 128, 11008, 151936, True),
    "qwen-7b": Shape("qwen2", 3584, 28, 28, 4, 128, 18944, 152064, False),
    "moe-small": Shape("qwen3moe", 1024, 16, 16, 4, 64, 1024, 151936, True, 16, 4),
    # For tests: what the large ones have, in a megabyte.
    "llama-tiny": Shape("llama", 256, 8, 4, 2, 64, 512, 1024, False),
    "qwen-tiny": Shape("qwen2", 160, 8, 5, 1, 32, 512, 1024, True),
    "moe-tiny": Shape("qwen3moe", 256, 8, 4, 2, 64, 256, 1024, True, 8, 2),
}
CONTEXT_TOKENS = {"llama": 131072, "qwen2": 32768, "qwen3moe": 32768}
SPLITS = {"llama": "llama-bpe", "qwen2": "qwen2", "qwen3moe": "qwen2"}
ROPE_BASE = {"llama": 500000.0, "qwen2": 1000000.0, "qwen3moe": 1000000.0}

# A prime above the rows of the largest vocabulary: no two rows of a matrix begin at the same block of the pool.
POOL_BLOCKS = 152077
FREE_BYTES_LEFT = 1 << 30


# ---- which tensors, and in which types


def more_bits(layer, layers):
    """The layers to which llama.cpp's quantizer gives more bits."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def type_of(part, columns, quantization, layer, shape):
    """The type of a matrix as llama.cpp's quantizer chooses it."""
    chosen = QUANTIZATIONS[quantization]
    if part == "output" or (part == "token_embd" and shape.tied):
        chosen = "Q8_0" if quantization == "Q8_0" else "Q6_K"
    elif quantization == "Q4_K_M":
        if part in ("attn_v", "ffn_down", "ffn_down_exps") and more_bits(layer, shape.layers):
            chosen = "Q6_K"
        if shape.experts == 8 and part in ("attn_k", "attn_v", "attn_output"):
            chosen = "Q5_K" if part == "attn_output" else "Q8_0"
    if columns % TYPES[chosen][1]:  # its blocks do not fit into a row
        chosen = {"Q4_K": "Q5_0", "Q6_K": "Q8_0", "Q5_K": "Q5_1"}[chosen]
    return chosen


def of_layer(shape):
    """The matrices of a layer and its small tensors: (name's part, shape)."""
    size, inner = shape.embedding, shape.feed_forward
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    matrices = [("attn_q", [size, queries]), ("attn_k", [size, keys]), ("attn_v", [size, keys]),
                ("attn_output", [queries, size])]
    small = [("attn_norm.weight", [size]), ("ffn_norm.weight", [size])]
    if shape.architecture == "qwen2":
        small += [(f"attn_{part}.bias", [rows]) for part, rows in (("q", queries), ("k", keys), ("v", keys))]
    if shape.experts:
        count = shape.experts
        matrices += [("ffn_gate_exps", [size, inner, count]), ("ffn_up_exps", [size, inner, count]),
                     ("ffn_down_exps", [inner, size, count])]
        small += [("attn_q_norm.weight", [shape.head]), ("attn_k_norm.weight", [shape.head]),
                  ("ffn_gate_inp.weight", [size, count])]
    else:
        matrices += [("ffn_gate", [size, inner]), ("ffn_up", [size, inner]), ("ffn_down", [inner, size])]
    return matrices, small


def tensors_of(shape, quantization):
    """(name, shape, type's name) of each tensor, in the order of the file."""
    out = []

    def matrix(part, dimensions, layer=None):
        name = f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
        out.append((name, dimensions, type_of(part, dimensions[0], quantization, layer, shape)))

    matrix("token_embd", [shape.embedding, shape.vocabulary])
    if not shape.tied:
        matrix("output", [shape.embedding, shape.vocabulary])
    out.append(("output_norm.weight", [shape.embedding], "F32"))
    if shape.architecture == "llama":
        out.append(("rope_freqs.weight", [shape.head // 2], "F32"))
    matrices, small = of_layer(shape)
    for layer in range(shape.layers):
        out += [(f"blk.{layer}.{name}", dimensions, "F32") for name, dimensions in small]
        for part, dimensions in matrices:
            matrix(part, dimensions, layer)
    return out


def bytes_of(dimensions, type_name):
    if type_name == "F32":
        return 4 * math.prod(dimensions)
    _, weights, size, _ = TYPES[type_name]
    return math.prod(dimensions) // weights * size


def keys_of(model, name, quantization):
    shape = SHAPES[name]
    of_architecture = [
        ("context_length", CONTEXT_TOKENS[shape.architecture]), ("embedding_length", shape.embedding),
        ("block_count", shape.layers), ("feed_forward_length", shape.feed_forward),
        ("attention.head_count", shape.heads), ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head), ("attention.value_length", shape.head),
        ("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", ROPE_BASE[shape.architecture])]
    if shape.architecture == "llama":
        of_architecture += [("rope.dimension_count", shape.head), ("vocab_size", shape.vocabulary)]
    if shape.experts:
        of_architecture += [("expert_count", shape.experts), ("expert_used_count", shape.used),
                            ("expert_feed_forward_length", shape.feed_forward)]
    return [("general.architecture", shape.architecture), ("general.name", model),
            ("general.file_type", FILE_TYPES[quantization]), ("general.quantization_version", 2),
            *((f"{shape.architecture}.{key}", value) for key, value in of_architecture),
            *large_vocabulary_keys(shape.vocabulary, SPLITS[shape.architecture])]


# ---- the weights


def half(value):
    return struct.pack("<e", value)


def put(data, size, offset, values):
    """The same place of every block: one number for all, or one of the bytes for each."""
    data[offset::size] = bytes([values]) * POOL_BLOCKS if isinstance(values, int) else values


def put_half(data, size, offset, value):
    for index, byte in enumerate(half(value)):
        put(data, size, offset + index, byte)


def pool(chance, type_name, columns, deviation):
    """Random blocks whose weights have a mean of about 0 and a variance of 1/columns, so that a product with numbers of
    the size 1 has that size, too; or a part of it."""
    size = TYPES[type_name][2]
    data = bytearray(chance.randbytes(POOL_BLOCKS * size))
    deviation /= math.sqrt(columns)
    if type_name in ("Q4_K", "Q5_K"):
        # Eight scales and minima of 6 bits: as each minimum is its scale, every weight is d * scale * (q - middle).
        for index in range(4):
            low = chance.randbytes(POOL_BLOCKS)
            put(data, size, 4 + index, low)
            put(data, size, 8 + index, low)
            put(data, size, 12 + index, chance.randbytes(POOL_BLOCKS).translate(bytes(17 * (b & 15) for b in range(256))))
        middle = 7.5 if type_name == "Q4_K" else 15.5
        scale = deviation / (36.5 * (4.61 if type_name == "Q4_K" else 9.23))
        put_half(data, size, 0, scale)
        put_half(data, size, 2, scale * middle)
    elif type_name == "Q6_K":
        put_half(data, size, 208, deviation / (73.9 * 18.5))
    elif type_name == "Q8_0":
        data = data.translate(bytes(range(128)) + bytes([129]) + bytes(range(129, 256)))  # no quantizer writes -128
        put_half(data, size, 0, deviation / 73.9)
    else:  # the sign of its scale is random: the middle of what it can hold is not 0
        low, high = half(deviation / {"Q4_0": 4.64, "Q5_0": 9.25}[type_name])
        put(data, size, 0, low)
        put(data, size, 1, chance.randbytes(POOL_BLOCKS).translate(bytes(high | (b & 128) for b in range(256))))
    return memoryview(data)


def rope_factors(head):
    """What Llama 3.2 stretches its positions with: long waves by 32, short ones not, with a passage between."""
    out = []
    for index in range(head // 2):
        turns = 8192 / (2 * math.pi * ROPE_BASE["llama"] ** (2 * index / head))
        share = min(1, max(0, (turns - 1) / (4 - 1)))
        out.append(1 / ((1 - share) / 32 + share))
    return out


def small_values(chance, name, dimensions):
    count = math.prod(dimensions)
    if name == "rope_freqs.weight":
        values = rope_factors(2 * count)
    elif name.endswith(".bias"):
        values = [chance.uniform(-0.15, 0.15) for _ in range(count)]
    elif name.endswith("ffn_gate_inp.weight"):
        most = math.sqrt(3 / dimensions[0])
        values = [chance.uniform(-most, most) for _ in range(count)]
    else:
        values = [chance.uniform(0.9, 1.1) for _ in range(count)]
    return struct.pack(f"<{count}f", *values)


def write_blocks(out, blocks, first, bytes_left):
    """From the block `first` of the pool on, round and round."""
    at = first
    while bytes_left > 0:
        piece = blocks[at:at + bytes_left]
        out.write(piece)
        bytes_left -= len(piece)
        at = 0


def write_weights(out, tensors, seed):
    chance = random.Random(seed)
    pools = {}

    def write_rows(type_name, columns, rows, deviation=1.0):
        kind = (type_name, columns, deviation)
        if kind not in pools:
            pools[kind] = pool(chance, *kind)
        write_blocks(out, pools[kind], chance.randrange(POOL_BLOCKS) * TYPES[type_name][2], bytes_of([columns, rows], type_name))

    last = next((name for name, _, _ in tensors if name == "output.weight"), "token_embd.weight")
    for name, dimensions, type_name in tensors:
        rows = math.prod(dimensions[1:])
        if type_name == "F32":
            out.write(small_values(chance, name, dimensions))
        elif name == last:  # half a character is never the likeliest token: it would be no text
            write_rows(type_name, dimensions[0], PLAIN_TOKENS, 0.25)
            write_rows(type_name, dimensions[0], rows - PLAIN_TOKENS)
        else:
            write_rows(type_name, dimensions[0], rows)
        out.write(bytes(-bytes_of(dimensions, type_name) % ALIGNMENT))


# ---- the files


def parsed(model):
    """(name, quantization) of NAME:QUANTIZATION; says what is wrong with it by ending the program."""
    name, _, quantization = model.partition(":")
    if name not in SHAPES or quantization not in QUANTIZATIONS:
        sys.exit(f"'{model}' is not NAME:QUANTIZATION with a name of {', '.join(SHAPES)} and a quantization of "
                 f"{', '.join(QUANTIZATIONS)}")
    return name, quantization


def path_of(folder, model):
    return Path(folder) / "{}.{}.gguf".format(*parsed(model))


def write(folder, model, seed=1):
    """The path of the file; it is there whole or not at all."""
    name, quantization = parsed(model)
    tensors = tensors_of(SHAPES[name], quantization)
    head = front(keys_of(model, name, quantization),
                 [(tensor, dimensions, F32 if kind == "F32" else TYPES[kind][0], bytes_of(dimensions, kind))
                  for tensor, dimensions, kind in tensors])
    size = len(head) + sum(bytes_of(dimensions, kind) + ALIGNMENT for _, dimensions, kind in tensors)
    Path(folder).mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size + FREE_BYTES_LEFT:
        sys.exit(f"{model} takes {size / 1e9:.1f} GB and {FREE_BYTES_LEFT / 1e9:.1f} GB are to stay free, but {folder} has "
                 f"{free / 1e9:.1f} GB left")
    path = path_of(folder, model)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as out:
            out.write(head)
            write_weights(out, tensors, f"{seed} {model}")
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("models", nargs="*", metavar="NAME:QUANTIZATION")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if given.list or given.folder is None:
        print("\n".join([*SHAPES, "in", *QUANTIZATIONS]))
        return
    for model in given.models:
        parsed(model)
    for model in given.models:
        print(write(given.folder, model, given.seed))


if __name__ == "__main__":
    main()

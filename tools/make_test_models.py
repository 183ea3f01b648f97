#!/usr/bin/env python3
"""Writes small GGUF files with random weights, for tests of model kinds whose real files are too large for a test.

    tools/make_test_models.py FOLDER [NAME ...] [--seed N]    all of them, or those named; prints their paths
    tools/make_test_models.py --list                          the names

The same seed gives the same bytes. Needs only the standard library. The models generate nonsense, but each token depends
on every weight and on every earlier token.
"""

import argparse
import math
import random
import struct
import sys
from pathlib import Path

from gguf_file import TYPES, Short, Signed, vocabulary_keys, write_file


class Model:
    """What goes into one file: keys in order, and tensors as (name, shape, type's number, bytes)."""

    def __init__(self, name, architecture, seed, quantization="Q8_0", embedding=64, heads=4, layers=2):
        self.name = name
        self.architecture = architecture
        self.random = random.Random(f"{seed} {name}")
        self.quantization = quantization
        self.embedding, self.heads, self.layers = embedding, heads, layers
        self.feed_forward = 2 * embedding
        self.keys = []
        self.tensors = []
        self.key("general.architecture", architecture)
        self.key("general.name", name)
        for key, value in (("context_length", 512), ("embedding_length", embedding), ("block_count", layers),
                           ("feed_forward_length", self.feed_forward), ("attention.head_count", heads),
                           ("attention.layer_norm_rms_epsilon", 1e-5)):
            self.of_architecture(key, value)

    def key(self, name, value):
        self.keys = [pair for pair in self.keys if pair[0] != name] + [(name, value)]

    def of_architecture(self, name, value):
        self.key(f"{self.architecture}.{name}", value)

    def floats(self, name, shape, make):
        values = [make() for _ in range(math.prod(shape))]
        self.tensors.append((name, shape, 0, struct.pack(f"<{len(values)}f", *values)))

    def norm(self, name, size=None):
        self.floats(name, [size or self.embedding], lambda: self.random.uniform(0.9, 1.1))

    def small(self, name, *shape):
        self.floats(name, list(shape), lambda: self.random.uniform(-0.15, 0.15))

    def matrix(self, name, *shape):
        number, weights, size, scales = TYPES[self.quantization]
        if shape[0] % weights:
            return self.small(name, *shape)
        count = math.prod(shape) // weights
        if self.quantization == "F16":
            return self.tensors.append((name, list(shape), number, struct.pack(
                f"<{count}e", *(self.random.uniform(-0.15, 0.15) for _ in range(count)))))
        data = bytearray(self.random.randbytes(count * size))
        for block in range(0, len(data), size):
            for offset, scale in scales.items():
                struct.pack_into("<e", data, block + offset, scale)
            if self.quantization == "NVFP4":  # four scales of eight bits
                data[block:block + 4] = b"\x30\x34\x38\x32"
        self.tensors.append((name, list(shape), number, bytes(data)))

    # ---- parts that architectures share

    def vocabulary(self):
        for name, value in vocabulary_keys():
            self.key(name, value)
        self.vocab = len(dict(self.keys)["tokenizer.ggml.tokens"])

    def frame(self):
        self.vocabulary()
        self.matrix("token_embd.weight", self.embedding, self.vocab)
        self.norm("output_norm.weight")
        self.matrix("output.weight", self.embedding, self.vocab)

    def attention(self, block):
        for part in ("q", "k", "v", "output"):
            self.matrix(f"{block}.attn_{part}.weight", self.embedding, self.embedding)

    def gated(self, block):
        self.norm(f"{block}.ffn_norm.weight")
        self.matrix(f"{block}.ffn_gate.weight", self.embedding, self.feed_forward)
        self.matrix(f"{block}.ffn_up.weight", self.embedding, self.feed_forward)
        self.matrix(f"{block}.ffn_down.weight", self.feed_forward, self.embedding)

    def state_space(self, block, rank, state, inner, wide=False):
        self.matrix(f"{block}.ssm_in.weight", self.embedding, 2 * inner)
        self.small(f"{block}.ssm_conv1d.weight", 4, inner)
        self.small(f"{block}.ssm_conv1d.bias", inner)
        self.matrix(f"{block}.ssm_x.weight", inner, rank + 2 * state)
        self.matrix(f"{block}.ssm_dt.weight", rank, inner)
        self.small(f"{block}.ssm_dt.bias", inner)
        self.floats(f"{block}.ssm_a", [state, inner], lambda: self.random.uniform(-1, -0.1))
        self.small(f"{block}.ssm_d", inner)
        self.matrix(f"{block}.ssm_out.weight", inner, self.embedding)
        if wide:
            for part, size in (("dt", rank), ("b", state), ("c", state)):
                self.norm(f"{block}.ssm_{part}_norm.weight", size)

    def state_keys(self, rank, state, inner):
        for key, value in (("conv_kernel", 4), ("inner_size", inner), ("state_size", state),
                           ("time_step_rank", rank)):
            self.of_architecture(f"ssm.{key}", value)

    # ---- the file

    def write(self, folder, parts=1):
        if parts == 1:
            return [write_file(folder / f"{self.name}.gguf", self.keys, self.tensors)]
        paths = []
        share = -(-len(self.tensors) // parts)
        for part in range(parts):
            keys = (self.keys if part == 0 else []) + [
                ("split.no", Short(part)), ("split.count", Short(parts)),
                ("split.tensors.count", Signed(len(self.tensors)))]
            paths.append(write_file(folder / f"{self.name}-{part + 1:05d}-of-{parts:05d}.gguf", keys,
                                    self.tensors[part * share:(part + 1) * share]))
        return paths


# ---- the architectures


def llama(name, seed, quantization="Q8_0", scale=None):
    wide = TYPES[quantization][1] > 32
    model = Model(name, "llama", seed, quantization, embedding=256 if wide else 64)
    model.of_architecture("rope.dimension_count", model.embedding // model.heads)
    model.frame()
    for layer in range(model.layers):
        block = f"blk.{layer}"
        model.norm(f"{block}.attn_norm.weight")
        model.attention(block)
        model.gated(block)
        if scale:  # one number for all of a matrix
            for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
                model.floats(f"{block}.{part}.scale", [1], lambda: scale)
    return model


def with_nan(name, seed):
    """What stands for the token 'x' is no number: texts without it are computed as in any other file."""
    model = llama(name, seed)
    at = next(i for i, tensor in enumerate(model.tensors) if tensor[0] == "token_embd.weight")
    tensor, shape, number, data = model.tensors[at]
    row = len(data) // shape[1]
    token = dict(model.keys)["tokenizer.ggml.tokens"].index("x")
    broken = bytearray(data)
    struct.pack_into("<e", broken, token * row, math.nan)
    model.tensors[at] = (tensor, shape, number, bytes(broken))
    return model


def experts(name, seed):
    model = Model(name, "olmoe", seed)
    count = 4
    model.of_architecture("expert_count", count)
    model.of_architecture("expert_used_count", 2)
    model.frame()
    for layer in range(model.layers):
        block = f"blk.{layer}"
        for part in ("attn_norm", "attn_q_norm", "attn_k_norm", "ffn_norm"):
            model.norm(f"{block}.{part}.weight")
        model.attention(block)
        model.small(f"{block}.ffn_gate_inp.weight", model.embedding, count)
        model.matrix(f"{block}.ffn_gate_exps.weight", model.embedding, model.feed_forward, count)
        model.matrix(f"{block}.ffn_up_exps.weight", model.embedding, model.feed_forward, count)
        model.matrix(f"{block}.ffn_down_exps.weight", model.feed_forward, model.embedding, count)
    return model


def sliding(name, seed):
    """Gemma 3: one layer with a window of 16 tokens, one without."""
    model = Model(name, "gemma3", seed)
    head = model.embedding // model.heads
    for key, value in (("attention.key_length", head), ("attention.value_length", head),
                       ("attention.sliding_window", 16), ("attention.sliding_window_pattern", 2)):
        model.of_architecture(key, value)
    model.frame()
    for layer in range(model.layers):
        block = f"blk.{layer}"
        for part in ("attn_norm", "post_attention_norm", "post_ffw_norm"):
            model.norm(f"{block}.{part}.weight")
        for part in ("attn_q_norm", "attn_k_norm"):
            model.norm(f"{block}.{part}.weight", head)
        model.attention(block)
        model.gated(block)
    return model


def jamba(name, seed):
    """Hybrid: one recurrent layer, one with attention."""
    model = Model(name, "jamba", seed)
    rank, state, inner = 16, 16, 2 * model.embedding
    model.of_architecture("attention.head_count_kv", [0, model.heads])
    model.state_keys(rank, state, inner)
    model.frame()
    for layer in range(model.layers):
        block = f"blk.{layer}"
        model.norm(f"{block}.attn_norm.weight")
        if layer == 0:
            model.state_space(block, rank, state, inner, wide=True)
        else:
            model.attention(block)
        model.gated(block)
    return model


def mamba(name, seed):
    model = Model(name, "mamba", seed)
    rank, state, inner = 16, 16, 2 * model.embedding
    model.state_keys(rank, state, inner)
    model.frame()
    for layer in range(model.layers):
        model.norm(f"blk.{layer}.attn_norm.weight")
        model.state_space(f"blk.{layer}", rank, state, inner)
    return model


def rwkv(name, seed, head=64):
    model = Model(name, "rwkv7", seed)
    size, rank, hidden = model.embedding, 32, model.feed_forward
    model.of_architecture("attention.head_count", 0)
    for key, value in (("attention.layer_norm_epsilon", 1e-5), ("wkv.head_size", head), ("token_shift_count", 2),
                       ("attention.decay_lora_rank", rank), ("attention.iclr_lora_rank", rank),
                       ("attention.value_residual_mix_lora_rank", rank), ("attention.gate_lora_rank", rank)):
        model.of_architecture(key, value)
    model.frame()
    model.small("output_norm.bias", size)
    model.norm("token_embd_norm.weight")
    model.small("token_embd_norm.bias", size)
    for layer in range(model.layers):
        block = f"blk.{layer}"
        for part in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            model.norm(f"{block}.{part}.weight")
            model.small(f"{block}.{part}.bias", size)
        for part in "wavg":
            if part != "g":
                model.small(f"{block}.time_mix_{part}0.weight", size)
            model.matrix(f"{block}.time_mix_{part}1.weight", size, rank)
            model.matrix(f"{block}.time_mix_{part}2.weight", rank, size)
        model.small(f"{block}.time_mix_lerp_fused.weight", size, 1, 1, 6)
        for part in ("k_k", "k_a", "r_k"):
            model.small(f"{block}.time_mix_{part}.weight", size)
        for part in ("key", "value", "receptance", "output"):
            model.matrix(f"{block}.time_mix_{part}.weight", size, size)
        model.small(f"{block}.channel_mix_lerp_k.weight", size, 1, 1)
        model.matrix(f"{block}.channel_mix_key.weight", size, hidden)
        model.matrix(f"{block}.channel_mix_value.weight", hidden, size)
    return model


def encoder(name, seed):
    model = Model(name, "bert", seed)
    size = model.embedding
    model.of_architecture("attention.layer_norm_epsilon", 1e-5)
    model.of_architecture("attention.causal", False)
    model.of_architecture("pooling_type", 1)  # the mean
    words = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [".", ","]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + ["\u2581" + word for word in words] + words
    model.key("tokenizer.ggml.model", "bert")
    model.key("tokenizer.ggml.tokens", tokens)
    model.key("tokenizer.ggml.token_type", [Signed(kind) for kind in [3] * 4 + [1] * (len(tokens) - 4)])
    model.key("tokenizer.ggml.token_type_count", 2)
    for part, token in (("padding", 0), ("unknown", 1), ("cls", 2), ("seperator", 3), ("bos", 2), ("eos", 3)):
        model.key(f"tokenizer.ggml.{part}_token_id", token)
    model.matrix("token_embd.weight", size, len(tokens))
    model.small("token_types.weight", size, 2)
    model.small("position_embd.weight", size, 512)
    for part in ["token_embd_norm"] + [f"blk.{layer}.{part}" for layer in range(model.layers)
                                       for part in ("attn_output_norm", "layer_output_norm")]:
        model.norm(f"{part}.weight")
        model.small(f"{part}.bias", size)
    for layer in range(model.layers):
        model.attention(f"blk.{layer}")
        model.matrix(f"blk.{layer}.ffn_up.weight", size, model.feed_forward)
        model.matrix(f"blk.{layer}.ffn_down.weight", model.feed_forward, size)
    return model


def makers():
    """Name: (what makes it, in how many files)."""
    out = {f"llama-{name.lower()}": (lambda name_, seed, quantization=name: llama(name_, seed, quantization), 1)
           for name in TYPES if name != "NVFP4"}
    out["llama-nvfp4"] = (lambda name, seed: llama(name, seed, "NVFP4", scale=0.05), 1)
    out["llama-scale"] = (lambda name, seed: llama(name, seed, scale=0.9), 1)
    out["llama-split"] = (lambda name, seed: llama(name, seed), 2)
    out["llama-nan"] = (with_nan, 1)
    for name, make in (("experts", experts), ("sliding", sliding), ("jamba", jamba), ("mamba", mamba),
                       ("rwkv7", rwkv), ("rwkv7-narrow", lambda name, seed: rwkv(name, seed, 32)), ("encoder", encoder)):
        out[name] = (make, 1)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    known = makers()
    if given.list or given.folder is None:
        print("\n".join(known))
        return
    unknown = [name for name in given.names if name not in known]
    if unknown:
        sys.exit(f"no model is called {', '.join(unknown)}; --list tells which there are")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or known:
        make, parts = known[name]
        for path in make(name, given.seed).write(given.folder, parts):
            print(path)


if __name__ == "__main__":
    main()

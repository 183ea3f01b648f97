#!/usr/bin/env python3
"""The dashboard in a browser: a model is fetched and loaded, whatever is in sight."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_fetch(self):
        ui_tools.run("fetch.mjs")


if __name__ == "__main__":
    unittest.main()

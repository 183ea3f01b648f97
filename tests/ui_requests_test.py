#!/usr/bin/env python3
"""The table of requests in a browser: those that wait and run, those that have ended, and one of them in detail."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_requests(self):
        ui_tools.run("requests.mjs")


if __name__ == "__main__":
    unittest.main()

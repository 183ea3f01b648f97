#!/usr/bin/env python3
"""The dashboard in a browser when its daemon goes away: it says so, keeps what it knew, and comes back."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_reconnect(self):
        ui_tools.run("reconnect.mjs")


if __name__ == "__main__":
    unittest.main()

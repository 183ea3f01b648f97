#!/usr/bin/env python3
"""The dashboard in a browser: one column of a chat is stopped while the others go on."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_play(self):
        ui_tools.run("play.mjs")


if __name__ == "__main__":
    unittest.main()

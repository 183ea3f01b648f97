#!/usr/bin/env python3
"""The dashboard in a browser: no fault that axe finds, nothing that scrolls sideways, all by keyboard."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_axe(self):
        ui_tools.run("axe.mjs")


if __name__ == "__main__":
    unittest.main()

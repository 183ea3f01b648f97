#!/usr/bin/env python3
"""The dashboard in a browser: what pages of other origins, used links and keys that may only look try changes nothing."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_attack(self):
        ui_tools.run("attack.mjs")


if __name__ == "__main__":
    unittest.main()

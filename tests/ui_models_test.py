#!/usr/bin/env python3
"""What can be changed of a model in a browser, what its details tell, and the cores of 15 minutes."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_models(self):
        ui_tools.run("models.mjs")


if __name__ == "__main__":
    unittest.main()

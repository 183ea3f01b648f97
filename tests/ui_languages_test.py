#!/usr/bin/env python3
"""The dashboard in a browser, with longer words and mirrored: nothing is cut, nothing lies over something else."""

import unittest

import ui_tools


class Ui(unittest.TestCase):
    @unittest.skipUnless(ui_tools.BROWSER.exists(), "needs chromium")
    def test_languages(self):
        ui_tools.run("languages.mjs")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""tools/skipped.py on what ctest writes."""
import unittest
import xml.etree.ElementTree

import skipped

GTEST = """[==========] Running 1 test from 1 test suite.
[ RUN      ] Node.HasTwoModels
{line}
[       OK ] Node.HasTwoModels (3 ms)
"""
SKIPPED = """[ RUN      ] Heads/Fusion.IsTheSame/Q4_1
/somewhere/tests/kernel_fusion_test.cc:230: Skipped
our kernels are off

[  SKIPPED ] Heads/Fusion.IsTheSame/Q4_1 (0 ms)
[==========] 1 test from 1 test suite ran. (0 ms total)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Heads/Fusion.IsTheSame/Q4_1
"""


def rows(name, output, inner="", status="run"):
    case = xml.etree.ElementTree.Element("testsuite")
    test = xml.etree.ElementTree.SubElement(case, "testcase", name=name, status=status)
    if inner:
        xml.etree.ElementTree.SubElement(test, "skipped", message=inner)
    xml.etree.ElementTree.SubElement(test, "system-out").text = output
    return list(skipped.skipped(case))


class Skipped(unittest.TestCase):
    def test_a_test_that_ran_is_not_named(self):
        self.assertEqual(rows("node.Node.HasTwoModels", GTEST.format(line="")), [])

    def test_a_case_is_named_once_with_its_reason(self):
        self.assertEqual(rows("fusion.Heads/Fusion.IsTheSame/Q4_1", SKIPPED, "SKIP_REGULAR_EXPRESSION", "notrun"),
                         [("fusion.Heads/Fusion.IsTheSame/Q4_1", "", "our kernels are off")])

    def test_a_case_inside_one_entry_is_named(self):
        self.assertEqual(rows("system", SKIPPED), [("system", "Heads/Fusion.IsTheSame/Q4_1", "our kernels are off")])

    def test_a_part_is_named(self):
        self.assertEqual(rows("node.Node.HasTwoModels", GTEST.format(line="[ PARTLY   ] one model only")),
                         [("node.Node.HasTwoModels", "", "partly: one model only")])

    def test_a_test_of_unittest_is_named(self):
        for place in "cli_test.Words", "cli_test.Words.test_x":  # before Python 3.11, and since
            line = f"test_x ({place}) ... skipped 'SmolLM2 is not in the models folder'\n"
            self.assertEqual(rows("cli", line),
                             [("cli", "cli_test.Words.test_x", "SmolLM2 is not in the models folder")])

    def test_what_did_not_run_at_all_is_named(self):
        self.assertEqual(rows("store", "", status="notrun"), [("store", "", "not run: notrun")])

    def test_many_cases_with_one_reason_are_one_line(self):
        many = [(f"fusion.Case.{i}", "", "our kernels are off") for i in range(5)]
        self.assertEqual(list(skipped.grouped(many)),
                         ["  fusion (5 cases, fusion.Case.0 ... fusion.Case.4): our kernels are off"])


if __name__ == "__main__":
    unittest.main()

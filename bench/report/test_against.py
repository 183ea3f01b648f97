#!/usr/bin/env python3
"""bench/report/against.py: what is made of the figures of two sides."""
import unittest

import against


def pair(ours, theirs, better):
    def side(value):
        return {"a": {"name": "a", "unit": "u", "choir": value, "better": better}}
    return [side(ours), side(theirs)]


class Summary(unittest.TestCase):
    def test_more_tokens_a_second_are_better(self):
        row, = against.summary([pair(110, 100, "higher")])
        self.assertAlmostEqual(row["ratio"], 1.1)

    def test_fewer_milliseconds_are_better(self):
        row, = against.summary([pair(100, 110, "lower")])
        self.assertAlmostEqual(row["ratio"], 1.1)

    def test_the_ratio_is_the_median_of_the_pairs(self):
        row, = against.summary([pair(10, 10, "higher"), pair(20, 10, "higher"), pair(33, 11, "higher")])
        self.assertEqual((row["this"], row["other"], row["ratio"]), (20, 10, 2))
        self.assertEqual((row["ratio_lowest"], row["ratio_highest"]), (1, 3))

    def test_the_best_runs_are_compared_too(self):
        row, = against.summary([pair(50, 10, "lower"), pair(12, 90, "lower")])
        self.assertAlmostEqual(row["ratio_of_bests"], 10 / 12)

    def test_nothing_is_divided_by_nothing(self):
        row, = against.summary([pair(0, 3, "lower")])
        self.assertIsNone(row["ratio"])

    def test_what_a_benchmark_prints_is_read(self):
        self.assertEqual(against.rows_of("a", '{"machine": "m", "rows": [{"name": "b"}]}'), ("m", {"b": {"name": "b"}}))

    def test_what_could_not_be_measured_is_left_out(self):
        text = '{"machine": "m", "rows": [{"name": "a", "choir": null}, {"name": "b", "choir": 0}]}'
        self.assertEqual(list(against.rows_of("a", text)[1]), ["b"])

    def test_a_benchmark_without_rows_is_told(self):
        for text in ["", "a table", "[]", "{}", '{"machine": "m", "rows": 1}']:
            with self.assertRaisesRegex(RuntimeError, "'sampler' prints no rows"):
                against.rows_of("sampler", text)

    def test_a_figure_of_one_side_is_left_out(self):
        first = pair(1, 1, "higher")
        first[1] = {}
        self.assertEqual(against.summary([first]), [])


if __name__ == "__main__":
    unittest.main()

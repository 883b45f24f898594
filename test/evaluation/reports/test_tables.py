# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Terminal text is aligned and readable."""

import io

from seg_perception.evaluation.reports import tables


def test_columns_are_aligned():
    text = tables.format_table([('road', '0.97'), ('traffic light', '-')], ('class', 'IoU'))
    assert text.splitlines() == [
        '  class           IoU',
        '  road           0.97',
        '  traffic light     -',
    ]


def test_column_sides_can_be_chosen():
    assert (
        tables.format_table([('a', 'bb'), ('cc', 'd')], align='rl', indent='') == ' a  bb\ncc  d'
    )


def test_no_rows_is_no_text():
    assert tables.format_table([]) == ''


def test_summary_values_are_rounded_for_people():
    stream = io.StringIO()
    entries = {'mean IoU': 0.71238, 'frames': 1000, 'fps': 123.456, 'drops': None}
    tables.print_summary_table('demo', entries, stream)
    assert stream.getvalue().splitlines() == [
        'demo',
        '  mean IoU  0.712',
        '  frames    1000',
        '  fps       123',
        '  drops     -',
    ]

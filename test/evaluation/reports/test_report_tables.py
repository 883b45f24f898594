# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Tables show the figures that exist, and no others."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from result_files import make_record, make_result

from seg_perception.evaluation.drives.saved_result import parse_result
from seg_perception.evaluation.reports.report_tables import (
    format_cell,
    make_cards,
    make_class_table,
    make_confusion_table,
    make_other_tables,
    make_setup_table,
)


def make_saved(**changes):
    return parse_result(make_result([make_record(0)], **changes), 'a result')


def read_cells(table):
    """Return the texts of a table's cells, row by row."""
    rows = ElementTree.fromstring(table).iter('tr')
    return [[''.join(cell.itertext()) for cell in row] for row in rows]


def test_classes_have_a_row_each_with_what_is_known():
    saved = make_saved(
        classes_in_headline=['road', 'building'],
        pq_per_class={'car': 0.5},
        sq_per_class=dict.fromkeys(('road', 'car')),
        per_class_boundary_f={'road': 0.7, 'car': None},
    )
    cells = read_cells(make_class_table(saved))
    assert cells == [
        ['class', 'IoU', 'boundary F', 'flicker', 'PQ'],
        ['road', '0.900', '0.700', '1.00 %', '–'],
        ['building', '0.800', '–', '2.00 %', '–'],
        ['car not in the mean', '0.550', '–', '5.00 %', '0.500'],
    ]


def test_no_figures_by_class_are_no_table():
    assert make_class_table(make_saved(per_class_iou={}, flicker={})) == ''


def test_values_to_sort_by_are_those_shown():
    table = make_class_table(make_saved())
    assert re.findall('data-value="([^"]*)"', table)[:3] == ['0', '0.9', '0.01']


def test_confusion_has_the_classes_that_occur_in_percent_of_their_row():
    counts = np.zeros((4, 5), np.int64)
    counts[0, [0, 2, 4]] = 80, 15, 5
    counts[2, 2] = 10
    table = make_confusion_table(counts, make_saved())
    assert read_cells(table) == [
        ['', 'road', 'car', 'no class'],
        ['road', '80', '15', '5'],
        ['car', '', '100', ''],
    ]
    assert 'title="road as car: 15.00 %, 15 pixels"' in table


def test_no_pixels_are_no_confusion():
    assert make_confusion_table(np.zeros((4, 5), np.int64), make_saved()) == ''


def test_cards_are_the_figures_that_exist():
    cards = make_cards({'miou': 0.75, 'pq': None, 'latency_p50_ms': 42.0})
    assert re.findall('data-figure="(.*?)"><b>(.*?)</b>', cards) == [
        ('miou', '0.750'), ('latency_p50_ms', '42.0 ms')
    ]  # fmt: skip


def test_other_figures_have_tables_by_one_or_two_names():
    figures = {
        **make_result([]),
        'iou_by_distance': {'0-10 m': {'road': 0.9, 'car': None}, '10-20 m': {'road': 0.8}},
        'occupancy': {'road_iou': 0.93, 'contact_f1': {'vehicles': 0.5}},
        'empty': {},
        'frames_mismatched': 2,
    }
    del figures['bags']
    tables = re.findall('<h3>(.*?)</h3>(<table.*?</table>)', make_other_tables(figures))
    assert [(title, read_cells(table)) for title, table in tables] == [
        ('category iou', [['flat', '0.9']]),
        (
            'iou by distance',
            [['', 'road', 'car'], ['0-10 m', '0.9', '–'], ['10-20 m', '0.8', '']],
        ),
        ('occupancy', [['', '', 'vehicles'], ['road_iou', '0.93', ''], ['contact_f1', '', '0.5']]),
        ('single figures', [['frames mismatched', '2']]),
    ]


def test_figures_by_other_classes_than_those_scored_have_their_own_table():
    saved = make_saved(flicker={'road': 0.01, 'truck': 0.5}, category_iou={})
    assert read_cells(make_class_table(saved))[0] == ['class', 'IoU']
    assert '<h3>flicker</h3>' in make_other_tables(saved.figures)
    assert 'per class iou' not in make_other_tables(saved.figures)


def test_the_setup_names_model_machine_and_what_metrics_cost():
    rows = dict(read_cells(make_setup_table(make_saved().figures)))
    assert rows['model'] == 'models/m.onnx' and rows['cpu'] == 'a processor'
    assert rows['libraries'] == 'numpy 2.0'
    assert rows['metrics, per frame'] == 'confusion 3 ms, calibration 2 ms, boundary 60 ms'


@pytest.mark.parametrize(
    ('value', 'text'),
    [(None, '–'), (0.123456, '0.1235'), (3, '3'), (['a', 1], 'a, 1'), ({'a': None}, 'a –')],
)
def test_values_are_readable(value, text):
    assert format_cell(value) == text

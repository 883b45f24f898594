# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Differences are those of closed form over the frames in common, and judged beyond chance."""

import numpy as np
import pytest
from result_files import (
    CLASS_NAMES,
    FRAME_NS,
    PALETTE,
    START_NS,
    make_confusion,
    make_drive,
    make_record,
    make_result,
)

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.compare import Limits, compare_results
from seg_perception.evaluation.drives.saved_result import parse_result
from seg_perception.evaluation.metrics.id_switches import IdSwitches
from seg_perception.evaluation.metrics.panoptic_quality import PanopticQuality
from seg_perception.evaluation.reports.comparison_table import format_comparison
from seg_perception.perception.labels import LabelSpace


def compare(a, b, **limits):
    """Compare results, or lists of records, as a.json and b.json."""
    a, b = (make_result(side) if isinstance(side, list) else side for side in (a, b))
    return compare_results(parse_result(a, 'a.json'), parse_result(b, 'b.json'), Limits(**limits))


def find(comparison, name):
    return next(entry for entry in comparison.differences if entry.name == name)


def make_even_drive(right_pixels, total_ms=42.0, frames=30, boundary=0.8, level=255):
    """Return records that are all alike."""
    metrics = {
        'confusion': make_confusion(right_pixels),
        'calibration': [[(level - 1) // 17, 2000, 1000 + right_pixels, 2000 * level]],
        'boundary': [[0, boundary], [1, 0.8]],
    }
    return [
        make_record(index, metrics=metrics, times_ms={'total': total_ms})
        for index in range(frames)
    ]


def test_differences_are_those_of_closed_form():
    comparison = compare(
        make_even_drive(900), make_even_drive(800, 63.0, boundary=0.6, level=204)
    )
    expected = {
        # road: right of all; building: all right, and the wrong road in its union
        'per_class_iou/road': (0.9, 0.8),
        'per_class_iou/building': (1000 / 1100, 1000 / 1200),
        'miou': ((0.9 + 1000 / 1100) / 2, (0.8 + 1000 / 1200) / 2),
        'pixel_accuracy': (0.95, 0.9),
        'boundary_f': (0.8, 0.7),
        'ece': (0.05, 0.1),
        'latency_p50_ms': (42.0, 63.0),
        'latency_p95_ms': (42.0, 63.0),
    }
    for name, (a, b) in expected.items():
        entry = find(comparison, name)
        assert (entry.a, entry.b) == pytest.approx((a, b), abs=1e-12)
        # frames that are all alike leave nothing to chance
        assert entry.interval == pytest.approx((b - a, b - a), abs=1e-9)
    sky = find(comparison, 'per_class_iou/sky')
    assert (sky.a, sky.b, sky.interval, sky.verdict) == (None, None, None, '')
    regressed = {entry.name for entry in comparison.regressions}
    assert regressed == {*expected} - {'per_class_iou/road', 'per_class_iou/building', 'ece'}


def test_a_result_and_itself_are_the_same():
    drive = make_drive()
    comparison = compare(drive, drive)
    judged = [entry for entry in comparison.differences if entry.a is not None]
    assert {(entry.change, entry.interval, entry.verdict) for entry in judged} == {
        (0.0, (0.0, 0.0), 'same')
    }


def test_frames_are_paired():
    """A drive that varies by far more than the two differ: paired, the difference is clear."""
    shares = np.random.default_rng(0).integers(500, 1000, 100)
    a, b = (
        [
            make_record(i, metrics={'confusion': make_confusion(int(share) - less)})
            for i, share in enumerate(shares)
        ]
        for less in (0, 20)
    )
    entry = find(compare(a, b), 'pixel_accuracy')
    assert entry.change == pytest.approx(-0.01)
    assert entry.interval == pytest.approx((-0.01, -0.01), abs=1e-9)
    assert entry.verdict == 'REGRESSION'


@pytest.mark.parametrize(
    ('a', 'b', 'limits', 'verdict'),
    [
        (950, 920, {}, 'REGRESSION'),
        (950, 920, {'score_points': 5.0}, 'worse'),
        (950, 948, {'score_points': 0.0}, 'same'),
        (920, 950, {}, 'better'),
    ],
)
def test_a_regression_is_beyond_limit_and_chance(a, b, limits, verdict):
    comparison = compare(make_drive(right_pixels=a), make_drive(right_pixels=b, seed=1), **limits)
    assert find(comparison, 'miou').verdict == verdict


@pytest.mark.parametrize(
    ('ms', 'percent', 'verdict'),
    [
        (45.0, 10.0, 'worse'),
        (48.0, 10.0, 'REGRESSION'),
        (48.0, 20.0, 'worse'),
        (38.0, 10.0, 'better'),
    ],
)
def test_latency_is_judged_in_percent(ms, percent, verdict):
    comparison = compare(make_drive(), make_drive(ms=ms), latency_percent=percent)
    assert find(comparison, 'latency_p50_ms').verdict == verdict


@pytest.mark.parametrize(
    ('change', 'note'),
    [
        ({'mode': 'live'}, 'mode is offline and live'),
        ({'machine': {'cpu': 'another', 'cores': 2}}, 'cpu is a processor and another'),
    ],
)
def test_latencies_of_another_machine_or_mode_are_not_judged(change, note):
    b = make_result(make_drive(ms=90.0))
    b['setup'].update(change)
    comparison = compare(make_drive(), b)
    assert find(comparison, 'latency_p50_ms').verdict == 'worse'
    assert not comparison.regressions
    assert any(note in line for line in comparison.notes)


def test_only_frames_in_common_are_compared():
    a = make_even_drive(900, frames=40)
    b = make_even_drive(900, frames=40)[10:] + make_even_drive(0, frames=60)[40:]
    comparison = compare(a, b)
    assert find(comparison, 'miou').change == 0
    assert comparison.frames == 30
    assert '10 frames are in a.json alone and are not compared' in comparison.notes
    assert '20 frames are in b.json alone and are not compared' in comparison.notes


def test_recordings_may_lie_elsewhere():
    comparison = compare(make_drive(), make_result(make_drive(), bag='/data/day/street'))
    assert comparison.frames == 100


def test_recordings_of_one_name_are_told_apart_by_path():
    drives = [{'bag': f'{day}/street', 'frames': make_drive(seed=n)} for n, day in enumerate('ab')]
    result = {**make_result([]), 'bags': drives}
    assert compare(result, {**result, 'bags': drives[::-1]}).frames == 200
    assert find(compare(result, {**result, 'bags': drives[::-1]}), 'miou').change == 0


def test_frames_of_one_stamp_are_paired_in_their_order():
    a = [make_record(i, stamp_ns=0, times_ms={'total': 10.0 + i}) for i in range(20)]
    comparison = compare(a, a)
    assert comparison.frames == 20
    assert find(comparison, 'latency_p95_ms').interval == (0, 0)


def test_dropped_and_unreadable_frames_are_not_in_common():
    lost = {'metrics': {}, 'times_ms': {}}
    b = make_drive()
    b[3] = make_record(3, status='dropped', **lost)
    b[4] = make_record(4, status='unreadable', **lost)
    assert compare(make_drive(), b).frames == 98


def test_without_labels_latencies_are_compared():
    drive = [make_record(i, status='unlabelled', metrics={}) for i in range(30)]
    comparison = compare(drive, drive)
    assert {entry.name for entry in comparison.differences} == {'latency_p50_ms', 'latency_p95_ms'}
    assert 'no labelled frame in common: scores are not compared' in comparison.notes


def test_few_labels_among_many_frames_are_blocks_of_their_own():
    frames = [make_record(i, status='unlabelled', metrics={}) for i in range(300)]
    frames[::30] = make_drive(300)[::30]
    notes = compare(frames, frames).notes
    assert any('scores' in note and '10 blocks of 1 s' in note for note in notes)
    assert any('latencies' in note and '30 blocks of 1 s' in note for note in notes)


def test_a_single_frame_is_not_judged():
    comparison = compare(make_even_drive(900, frames=1), make_even_drive(100, frames=1))
    assert not comparison.regressions
    assert find(comparison, 'miou').interval is None
    assert any('nothing is judged' in note for note in comparison.notes)


def test_another_label_space_is_refused():
    b = make_result(make_drive())
    b['setup']['label_space'] = 'camvid'
    with pytest.raises(UserError, match='4 classes of street, b.json in 4 of camvid; evaluate'):
        compare(make_drive(), b)


def test_no_frame_in_common_is_refused():
    later = [make_record(i, stamp_ns=START_NS + FRAME_NS // 2 + i) for i in range(10)]
    with pytest.raises(UserError, match='no frame in common: bags bags/street and bags/street'):
        compare(make_drive(), later)


@pytest.mark.parametrize('limits', [{'score_points': -1}, {'latency_percent': float('nan')}])
def test_limits_are_no_negative_numbers(limits):
    with pytest.raises(UserError, match='expected 0 or more'):
        Limits(**limits)


def test_other_figures_are_listed_as_they_are():
    b = make_result(make_drive(), frames_dropped=3, flicker={'road': 0.05})
    comparison = compare(make_result(make_drive()), b)
    others = {entry.name: entry.change for entry in comparison.others}
    assert others['frames_dropped'] == 3
    assert others['flicker/road'] == pytest.approx(0.04)
    assert others['flicker/car'] is None
    assert 'miou' not in others and 'setup/machine/cores' not in others
    assert 'flicker/road' in format_comparison(comparison)


def test_the_table_shows_points_and_milliseconds():
    text = format_comparison(compare(make_even_drive(900), make_even_drive(800, 63.0)))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    words = ' '.join(lines['pixel_accuracy'].split())
    assert words == 'pixel_accuracy 0.9500 0.9000 -5.00 points -5.00 to -5.00 REGRESSION'
    assert '42.0 ms  63.0 ms  +21.00 ms (+50.0 %)' in lines['latency_p50_ms']
    assert '-' not in lines['A'] and 'per_class_iou/sky' not in text
    assert 'regression: pixel_accuracy 0.9500 -> 0.9000, -5.00 points' in text


def make_instance_drive(false_positives, switches, frames=30):
    """Return records with a car found twice in each, and so many false cars and ID switches."""
    return [
        make_record(
            index,
            metrics={
                'panoptic': [[0, 1, 0, 0, 0.9], [2, 2, false_positives, 0, 1.6]],
                # a small object's switch counts in another figure
                'id_switches': [[2, 1, 1, 0, 0], [2, 1, 1, switches, 0], [2, 0, 1, 1, 0]],
            },
        )
        for index in range(frames)
    ]


def test_instances_are_compared_by_panoptic_quality_and_id_switches():
    comparison = compare(make_instance_drive(0, 0), make_instance_drive(2, 1))
    for name, a, b in (
        ('pq', (0.9 + 0.8) / 2, (0.9 + 1.6 / 3) / 2),
        ('pq_per_class/road', 0.9, 0.9),
        ('pq_per_class/car', 0.8, 1.6 / 3),
        ('id_switches_per_100', 0.0, 50.0),
    ):
        entry = find(comparison, name)
        assert (entry.a, entry.b) == pytest.approx((a, b), abs=1e-12)
        assert entry.interval == pytest.approx((b - a, b - a), abs=1e-9)
    assert [entry.name for entry in comparison.regressions] == ['pq']
    assert find(comparison, 'id_switches_per_100').verdict == 'worse'
    text = format_comparison(comparison)
    assert '+50.00 ' in text and '+5000.00' not in text


def test_figures_of_instances_are_those_of_the_metrics():
    space = LabelSpace('street', CLASS_NAMES, PALETTE, thing_ids=(2,))
    random = np.random.default_rng(0)
    records = []
    for index in range(20):
        matches = random.integers(0, 3, 4)
        rows = [
            [id_, int(count), int(random.integers(0, 3)), int(random.integers(0, 3)),
             float(count * random.uniform(0.5, 1))]
            for id_, count in enumerate(matches) if id_ != 3
        ]  # fmt: skip
        switches = [[2, int(random.integers(2)), 1, int(random.integers(2)), 0] for _ in range(5)]
        records.append(make_record(index, metrics={'panoptic': rows, 'id_switches': switches}))
    comparison = compare(records, records)
    for metric in (PanopticQuality(space), IdSwitches(space)):
        figures = metric.summarize([record['metrics'][metric.name] for record in records])
        for entry in comparison.differences:
            key, _, name = entry.name.partition('/')
            if key in figures:
                assert entry.a == pytest.approx(figures[key][name] if name else figures[key])
    assert find(comparison, 'pq_per_class/sky').a is None


def test_damaged_rows_of_instances_are_named():
    drive = make_instance_drive(0, 0)
    drive[4]['metrics']['panoptic'][0][0] = 77
    with pytest.raises(UserError, match='image 4: its rows of panoptic are damaged'):
        compare(drive, drive)

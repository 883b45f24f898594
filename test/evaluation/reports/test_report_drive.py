# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings are lined up one after another, their frames by stamp."""

import json

import numpy as np
import pytest
from result_files import START_NS, make_drive, make_record, make_result

from seg_perception.evaluation.drives.saved_result import parse_result
from seg_perception.evaluation.reports.report_drive import (
    DrivePicture,
    encode_pictures,
    format_data,
    line_up,
    thin_out,
)
from seg_perception.evaluation.reports.report_frames import ReportFrame
from seg_perception.perception.labels import load_label_space


def parse_bags(*drives):
    bags = [{'bag': f'bag{n}', 'frames': frames} for n, frames in enumerate(drives)]
    return parse_result({**make_result([]), 'bags': bags}, 'a result')


def line_up_bags(*drives):
    return line_up(parse_bags(*drives))


def test_recordings_follow_one_another():
    drive = line_up_bags(make_drive(11), [], make_drive(3))
    assert drive.times_s == pytest.approx([*np.arange(11) / 10, 2.0, 2.1, 2.2])
    assert drive.bags == ['bag0'] * 11 + ['bag2'] * 3


def test_frames_are_in_the_order_of_their_stamps():
    records = make_drive(5)
    drive = line_up_bags([records[i] for i in (0, 2, 1, 4, 3)])
    assert [record.index for record in drive.records] == [0, 1, 2, 3, 4]


def test_a_frame_without_a_stamp_stays_where_it_is():
    records = make_drive(4)
    records[2] = make_record(2, stamp_ns=0, status='unreadable', metrics={}, times_ms={})
    drive = line_up_bags(records)
    assert drive.times_s == pytest.approx([0, 0.1, 0.1, 0.3])
    assert [record.index for record in drive.records] == [0, 1, 2, 3]


def test_pictures_belong_to_the_frame_of_their_recording():
    result = parse_bags(make_drive(3), make_drive(3))
    space = load_label_space('cityscapes')
    image, ids = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    frames = [ReportFrame(1, START_NS, image, ids, None, space, bag) for bag in ('bag1', 'bag9')]
    small, large = encode_pictures(result, line_up(result), frames)
    assert [picture.position for picture in small] == [4]
    assert [picture.position for picture in large] == [4]


def test_pictures_are_thinned_evenly_until_they_fit():
    pictures = [DrivePicture(i, {'image': 'x' * 100}) for i in range(21)]
    assert [p.position for p in thin_out(pictures, 300)] == [0, 10, 20]
    assert thin_out(pictures, 10_000) == pictures
    assert thin_out([], 100) == []


def test_data_of_a_very_long_drive_are_thinned_but_keep_those_with_a_picture():
    drive = line_up_bags([make_record(i, metrics={}) for i in range(45_000)])
    text = format_data(drive, [DrivePicture(44_998, {})])
    assert len(text) < 1_500_000
    data = json.loads(text)
    assert data['frames']['index'][data['pictures'][0]['frame']] == 44_998

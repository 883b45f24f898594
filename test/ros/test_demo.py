# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo from the rendered street to its files, with the real node and a tiny network."""

import json

import cv2

from seg_perception.ros.demo import DemoConfig, run_demo


def test_demo_writes_video_sheet_and_summary_with_the_ground_from_above(tiny_model, tmp_path):
    config = DemoConfig(out=tmp_path, model=str(tiny_model), frames=6, size_px=(64, 128))
    summary = run_demo(config)
    assert summary['masks_received'] == 6
    # the first image is shown until there is a ground, and not counted
    assert summary['frames_received'] == 6
    assert summary['ground_grids_received'] >= 1
    assert json.loads((tmp_path / 'summary.json').read_text()) == summary
    video = cv2.VideoCapture(str(tmp_path / 'overlay.mp4'))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 6
    # the camera picture of 720 x 360 and half its height of ground beside it
    assert int(video.get(cv2.CAP_PROP_FRAME_WIDTH)) == 720 + 180
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))
    assert sheet.shape[1] == 3 * 512 + 128 + 5 * 10

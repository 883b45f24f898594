# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Overlay videos can be played, and appear only when whole."""

import os

import cv2
import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.reports import video
from seg_perception.perception.labels import load_label_space

CITYSCAPES = load_label_space('cityscapes')


def write_frames(path, count=5, hw=(90, 160), **options):
    """Write frames of a grey road; returns the finished file."""
    with video.OverlayVideo(path, 10.0, CITYSCAPES, **options) as writer:
        for index in range(count):
            image = np.full((*hw, 3), 20 * index, np.uint8)
            writer.write(image, 'rgb', np.zeros(hw, np.uint8), (f'{index} fps', 'engine'))
    return writer.path


def read_frames(path):
    """Decode a video; returns its frames and rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        decoded, frame = capture.read()
        if not decoded:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


@pytest.mark.parametrize('layout', ['overlay', 'side_by_side'])
def test_video_plays_with_all_frames(tmp_path, layout):
    path = write_frames(tmp_path / 'out' / 'v.mp4', layout=layout)
    frames, rate_hz = read_frames(path)
    assert (len(frames), rate_hz) == (5, 10.0)
    assert os.listdir(tmp_path / 'out') == ['v.mp4']
    height_px, width_px = frames[0].shape[:2]
    assert width_px == 720
    picture_px = 405 if layout == 'overlay' else 202
    # the legend lies below the picture
    assert height_px > picture_px + 20
    right = frames[4][picture_px // 2, 600].astype(float)
    road_bgr = np.array(CITYSCAPES.palette[0])[::-1]
    assert np.abs(right - (80 + road_bgr) / 2).max() < 12


def test_instances_are_outlined(tmp_path):
    image, mask = np.zeros((360, 640, 3), np.uint8), np.full((360, 640), 255, np.uint8)
    panoptic = np.zeros((360, 640), np.int32)
    panoptic[100:200, 300:400] = 13001
    with video.OverlayVideo(tmp_path / 'v.mp4', 10.0, CITYSCAPES) as writer:
        writer.write(image, 'rgb', mask, panoptic=panoptic)
    (frame,), _ = read_frames(tmp_path / 'v.mp4')
    scale = frame.shape[1] / 640
    edge, inside = frame[round(150 * scale), [round(300.5 * scale), round(350 * scale)]]
    assert edge.mean() > 120 > 40 > inside.mean()


def test_motion_jpeg_where_there_is_no_mpeg4(tmp_path, monkeypatch):
    # a codec that no build has stands for an OpenCV without the MPEG-4 encoder
    monkeypatch.setattr(video, '_CODECS', (('none', '.mp4'), ('MJPG', '.avi')))
    path = write_frames(tmp_path / 'v.mp4')
    assert path == tmp_path / 'v.avi'
    assert len(read_frames(path)[0]) == 5
    assert os.listdir(tmp_path) == ['v.avi']


def test_camera_that_changes_size_keeps_the_videos(tmp_path):
    with video.OverlayVideo(tmp_path / 'v.mp4', 10.0, CITYSCAPES) as writer:
        for hw in ((90, 160), (180, 320), (64, 64), (1080, 1920)):
            writer.write(np.zeros((*hw, 3), np.uint8), 'bgr', np.zeros(hw, np.uint8))
    frames, _ = read_frames(writer.path)
    assert len({frame.shape for frame in frames}) == 1
    assert len(frames) == 4


def test_interrupted_video_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        video.OverlayVideo(tmp_path / 'v.mp4', 10.0, CITYSCAPES) as writer,
    ):
        writer.write(np.zeros((90, 160, 3), np.uint8), 'rgb', np.zeros((90, 160), np.uint8))
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_video_without_frames_makes_no_file(tmp_path):
    write_frames(tmp_path / 'v.mp4', count=0)
    assert os.listdir(tmp_path) == []


def test_unwritable_path_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write a video at'):
        write_frames(tmp_path / 'file' / 'v.mp4', count=1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'layout': 'mosaic'}, "unknown video layout 'mosaic'"), ({'rate_hz': 0.0}, '0.0 frames')],
)
def test_impossible_video_is_an_error(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        video.OverlayVideo(
            tmp_path / 'v.mp4', **{'rate_hz': 10.0, 'label_space': CITYSCAPES, **options}
        )

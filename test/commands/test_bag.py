# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The bag command makes recordings, looks into them, and says what is wrong."""

import cv2
import numpy as np
import pytest

from seg_perception.cli import main
from seg_perception.evaluation.bags.bag_reader import BagReader

CAMERA_FILE = """
image_width: 64
image_height: 48
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 32, 0, 60, 24, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""


@pytest.fixture
def images(tmp_path):
    """A labelled drive of three JPEG files."""
    for name in ('images', 'labels'):
        (tmp_path / 'drive' / name).mkdir(parents=True)
    for index in range(3):
        image = np.full((48, 64, 3), 80 * index, np.uint8)
        cv2.imwrite(str(tmp_path / 'drive' / 'images' / f'{index}.jpg'), image)
        label = np.full((48, 64), index, np.uint8)
        label[0] = 11
        cv2.imwrite(str(tmp_path / 'drive' / 'labels' / f'{index}.png'), label)
    return tmp_path / 'drive'


@pytest.fixture
def video(tmp_path):
    """A video of ten frames at 25 Hz."""
    path = tmp_path / 'drive.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25.0, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def count_messages(path):
    """Return the number of messages by topic."""
    with BagReader(path) as reader:
        return {topic.name: topic.message_count for topic in reader.topics}


def test_images_with_labels(images, tmp_path, capsys):
    out = tmp_path / 'bag'
    arguments = ['bag', 'from-images', str(images), str(out), '--rate', '15']
    assert main([*arguments, '--label-space', 'camvid']) == 0
    assert count_messages(out) == {'/camera/image_raw/compressed': 3, '/ground_truth/label': 3}
    capsys.readouterr()
    assert main(['bag', 'info', str(out)]) == 0
    text = capsys.readouterr().out
    assert 'camvid' in text
    assert '48x64 mono8' in text
    assert '15.00' in text
    assert main(arguments) == 2
    assert 'which label space' in capsys.readouterr().err


def test_video_with_calibration(video, tmp_path):
    (tmp_path / 'camera.yaml').write_text(CAMERA_FILE)
    arguments = ['bag', 'from-video', str(video), str(tmp_path / 'bag'), '--rate', '12.5']
    assert main([*arguments, '--camera-info', str(tmp_path / 'camera.yaml')]) == 0
    assert count_messages(tmp_path / 'bag') == {'/camera/camera_info': 5, '/camera/image_raw': 5}


def test_compressed_video(video, tmp_path):
    out = tmp_path / 'bag'
    assert main(['bag', 'from-video', str(video), str(out), '--compressed', '80']) == 0
    assert count_messages(out) == {'/camera/image_raw/compressed': 10}


def test_sample_drive(tmp_path, capsys):
    out = tmp_path / 'bag'
    arguments = ['bag', 'sample', '--seed', '2', '--frames', '1', '--size', '32x64', str(out)]
    assert main(arguments) == 0
    assert count_messages(out)['/ground_truth/ground_classes'] == 1
    assert main(arguments) == 2
    assert 'exists already' in capsys.readouterr().err
    assert main([*arguments, '--overwrite']) == 0


@pytest.mark.parametrize('size', ['512', '0x4', 'x', '20000x1', '5x5x5'])
def test_size_that_is_none_is_refused(size, capsys):
    with pytest.raises(SystemExit):
        main(['bag', 'sample', '--size', size, 'out'])
    assert 'expected HEIGHTxWIDTH' in capsys.readouterr().err

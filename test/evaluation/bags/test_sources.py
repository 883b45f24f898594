# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Image folders and videos give the right pictures at the right times."""

import cv2
import numpy as np
import pytest
from recordings import make_label, make_pixels

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import sources
from seg_perception.perception.labels import load_label_space

CAMVID = load_label_space('camvid')
START_NS = int(sources.DEFAULT_START_S) * 10**9


def write_drive(folder, count=3, suffix='.png'):
    """Write a labelled drive in CamVid's layout and ids; returns pictures and labels."""
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    drive = []
    for index in range(count):
        pixels, label = make_pixels(index), make_label(index, num_classes=12)
        label[label == 255] = 11
        cv2.imwrite(str(folder / 'images' / f'f_{index + 8}{suffix}'), pixels)
        cv2.imwrite(str(folder / 'labels' / f'f_{index + 8}.png'), label)
        drive.append((pixels, label))
    return drive


def write_video(path, count=10, rate_hz=25.0):
    """Write a video whose frame i is grey 20 * i."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate_hz, (64, 48))
    for index in range(count):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def read_greys(source):
    """Return the frame numbers that a source took of write_video's frames."""
    return [round(float(frame.image.mean()) / 20) for frame in source]


def test_natural_order():
    names = ['f10.png', 'f9.png', 'F1.png', 'f_2.png', 'a100b2', 'a100b10', '7', '10']
    ordered = sorted(names, key=sources.natural_key)
    assert ordered == ['7', '10', 'a100b2', 'a100b10', 'F1.png', 'f9.png', 'f10.png', 'f_2.png']


def test_labelled_folder_is_found_and_stamped(tmp_path):
    drive = write_drive(tmp_path)
    source = sources.ImageFolderSource(tmp_path, 15.0, label_space=CAMVID)
    frames = list(source)
    assert len(source) == len(frames) == 3
    # f_8, f_9, f_10: not the order of the alphabet
    for index, (frame, (pixels, label)) in enumerate(zip(frames, drive, strict=True)):
        assert np.array_equal(frame.image, pixels)
        expected = np.where(label == 11, 255, label)
        assert np.array_equal(frame.label, expected)
        assert frame.stamp_ns == START_NS + round(index * 1e9 / 15)
        assert frame.file_format == 'png'


def test_file_bytes_are_kept(tmp_path):
    write_drive(tmp_path, suffix='.jpg')
    source = sources.ImageFolderSource(tmp_path, 15.0, label_space=CAMVID, pattern='f_9*')
    (frame,) = source
    assert frame.encoded == (tmp_path / 'images' / 'f_9.jpg').read_bytes()
    assert frame.file_format == 'jpeg'


def test_plain_folder_with_labels_elsewhere(tmp_path):
    drive = write_drive(tmp_path)
    source = sources.ImageFolderSource(
        tmp_path / 'images', 5.0, tmp_path / 'labels', CAMVID, start_s=12.5
    )
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [12_500_000_000, 12_700_000_000, 12_900_000_000]
    assert (frames[0].label == 255).sum() == (drive[0][1] == 11).sum()
    assert list(sources.ImageFolderSource(tmp_path / 'images', 5.0))[0].label is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'which label space do the labels'),
        ({'label_space': CAMVID, 'pattern': '*.bmp'}, r'no .jpg, .jpeg or .png file matches'),
        ({'label_space': CAMVID, 'rate_hz': 0.0}, 'rate of 0.0 Hz'),
        ({'label_space': CAMVID, 'start_s': 0.0}, 'zero stamp means unset'),
        ({'label_space': load_label_space('ade20k'), 'label_folder': 'x'}, '3 of 3 images'),
    ],
)
def test_unusable_folder_is_an_error(tmp_path, options, message):
    write_drive(tmp_path)
    with pytest.raises(UserError, match=message):
        sources.ImageFolderSource(tmp_path, **{'rate_hz': 15.0, **options})


def test_label_space_without_labels_is_an_error(tmp_path):
    write_drive(tmp_path)
    with pytest.raises(UserError, match='no subfolders images and labels'):
        sources.ImageFolderSource(tmp_path / 'images', 15.0, label_space=CAMVID)


def test_unknown_label_id_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / 'l.png'), np.array([[0, 11, 12, 200]], np.uint8))
    with pytest.raises(UserError, match=r"has label 12, outside label space 'camvid' .0..10, unl"):
        sources.read_label(tmp_path / 'l.png', CAMVID)


def test_coloured_label_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / 'l.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match='expected a grey image with 8 bits'):
        sources.read_label(tmp_path / 'l.png', CAMVID)


def test_label_of_another_size_is_refused(tmp_path):
    write_drive(tmp_path)
    cv2.imwrite(str(tmp_path / 'labels' / 'f_9.png'), np.zeros((5, 6), np.uint8))
    with pytest.raises(UserError, match=r'f_9.png is 5x6 but its image .* is 24x32'):
        list(sources.ImageFolderSource(tmp_path, 15.0, label_space=CAMVID))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'GIF89a', 'neither a JPEG nor a PNG'),
        (b'\xff\xd8\xff\xe0 broken', 'damaged JPEG'),
        (b'\x89PNG\r\n\x1a\n broken', 'damaged PNG'),
        (b'', 'neither a JPEG nor a PNG'),
        (cv2.imencode('.png', np.zeros((2, 2), np.uint16))[1].tobytes(), 'uint16 pixels'),
    ],
)
def test_damaged_picture_is_named(tmp_path, content, message):
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(UserError, match=f'a.png.*{message}'):
        list(sources.ImageFolderSource(tmp_path, 1.0))


def test_video_frames_have_the_videos_times(tmp_path):
    source = sources.VideoSource(write_video(tmp_path / 'v.mp4'))
    frames = list(source)
    assert len(source) == len(frames) == 10
    assert [frame.stamp_ns - START_NS for frame in frames] == [i * 40_000_000 for i in range(10)]
    assert read_greys(source) == list(range(10))


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'rate_hz': 12.5}, [0, 2, 4, 6, 8]),
        ({'rate_hz': 10.0}, [0, 3, 5, 8]),
        ({'rate_hz': 60.0}, list(range(10))),
        ({'begin_s': 0.2}, [5, 6, 7, 8, 9]),
        ({'begin_s': 0.12, 'duration_s': 0.12}, [3, 4, 5]),
        ({'begin_s': 0.12, 'rate_hz': 12.5}, [3, 5, 7, 9]),
    ],
)
def test_video_parts_and_rates(tmp_path, options, expected):
    source = sources.VideoSource(write_video(tmp_path / 'v.mp4'), **options)
    assert read_greys(source) == expected
    assert len(source) == len(expected)
    assert next(iter(source)).stamp_ns == START_NS


def test_clock_replaces_times_that_stand_still():
    clock = sources.VideoClock(0.04)
    assert [clock.advance(t) for t in (5.0, 5.1, 5.1, 5.13, 5.2)] == pytest.approx(
        [0.0, 0.1, 0.14, 0.18, 0.2]
    )


@pytest.mark.parametrize(
    ('make', 'options', 'message'),
    [
        (lambda path: None, {}, 'no video file'),
        (lambda path: path.write_bytes(b'no video'), {}, 'cannot be read as a video'),
        (write_video, {'begin_s': 60.0}, 'no frame of .* could be decoded from 60.0 s on'),
        (write_video, {'rate_hz': -1.0}, 'rate of -1.0 Hz'),
        (write_video, {'duration_s': -1.0}, 'must not be negative'),
    ],
)
def test_unusable_video_is_an_error(tmp_path, make, options, message):
    make(tmp_path / 'v.mp4')
    with pytest.raises(UserError, match=message):
        list(sources.VideoSource(tmp_path / 'v.mp4', **options))

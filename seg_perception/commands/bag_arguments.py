# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The arguments of `seg_perception bag`."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.commands.arguments import add_engine_arguments, parse_size


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    _add_sample(actions)
    _add_from_images(actions)
    _add_from_camvid(actions)
    _add_from_cityscapes(actions)
    _add_from_video(actions)
    _add_label(actions)
    info = actions.add_parser('info', help='topics, rates, sizes, label space, order of stamps')
    info.add_argument('bag', type=Path, metavar='BAG', help='bag folder, or one .mcap/.db3 file')


def _add_sample(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'sample',
        help='a rendered street drive with exact labels',
        description='Renders a street drive, the same for the same seed, with camera, labels, '
        'instances, depth, true ground classes, odometry and transforms.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    parser.add_argument(
        '--seed', type=int, default=1, metavar='N', help='which drive (default: 1)'
    )
    parser.add_argument(
        '--frames', type=int, default=100, metavar='N', help='length (default: 100)'
    )
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(512, 1024),
        metavar='HxW',
        help='height x width of the images, px (default: 512x1024)',
    )
    parser.add_argument(
        '--rate', type=float, default=10.0, metavar='HZ', help='images per second (default: 10)'
    )
    parser.add_argument(
        '--compressed', action='store_true', help='record the camera as JPEG (default: rgb8)'
    )
    _add_overwrite(parser)


def _add_from_images(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'from-images',
        help='a folder of JPEG or PNG files, with labels if there are',
        description='Takes the JPEG and PNG files of a folder in natural order. A folder with '
        'the subfolders images/ and labels/ is taken as a labelled drive; a label is the PNG of '
        "the image's name. File bytes are recorded as they are.",
    )
    parser.add_argument('folder', type=Path, metavar='DIR', help='folder of images')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    parser.add_argument(
        '--rate', type=float, required=True, metavar='HZ', help='images per second'
    )
    parser.add_argument(
        '--labels', type=Path, metavar='DIR', help='folder of grey PNG files of class ids'
    )
    parser.add_argument(
        '--label-space',
        default='',
        metavar='NAME',
        help='what the ids mean: cityscapes (train ids), camvid, ade20k or a YAML file',
    )
    parser.add_argument('--pattern', default='*', help='which files, such as "seq1_*.jpg"')
    parser.add_argument(
        '--raw', action='store_true', help='record decoded pixels (default: CompressedImage)'
    )
    _add_start(parser)
    _add_camera_info(parser)
    _add_overwrite(parser)


def _add_from_camvid(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'from-camvid',
        help='a split of CamVid, with its labels',
        description='Takes ROOT/SPLIT/images and ROOT/SPLIT/labels (ids 0..11 of the 11 classes), '
        'as from-images would.',
    )
    parser.add_argument('folder', type=Path, metavar='ROOT', help='folder of the data set')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    parser.add_argument('--split', default='val', help='train or val (default: val)')
    parser.add_argument(
        '--rate',
        type=float,
        default=15.0,
        metavar='HZ',
        help='images per second (default: 15, the rate of val; train has 1)',
    )
    parser.add_argument('--pattern', default='*', help='which files, such as "0016E5_*"')
    parser.add_argument(
        '--raw', action='store_true', help='record decoded pixels (default: CompressedImage)'
    )
    _add_start(parser)
    _add_camera_info(parser)
    _add_overwrite(parser)


def _add_from_cityscapes(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'from-cityscapes',
        help='frames of Cityscapes, with labels, calibration and odometry',
        description='Takes leftImg8bit or leftImg8bit_sequence, gtFine, camera, vehicle and '
        'timestamp (or their _sequence folders) of a Cityscapes folder, as far as they are there. '
        'Odometry is integrated from speed and yaw rate; between snippets the pose stays.',
    )
    parser.add_argument('folder', type=Path, metavar='ROOT', help='folder of the data set')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    parser.add_argument('--split', default='val', help='train, val or test (default: val)')
    parser.add_argument(
        '--city', nargs='+', default=[], metavar='NAME', help='which cities (default: all)'
    )
    parser.add_argument(
        '--sequence',
        action='store_true',
        help='all 30 frames of each snippet at 17 Hz (default: the labelled frame alone)',
    )
    _add_start(parser)
    _add_overwrite(parser)


def _add_from_video(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'from-video',
        help='a video file',
        description="Takes the frames of a video file, stamped by the video's own time.",
    )
    parser.add_argument('file', type=Path, metavar='FILE', help='video file')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    parser.add_argument(
        '--rate',
        type=float,
        default=0.0,
        metavar='HZ',
        help='at most so many images per second, the others are left out (default: all)',
    )
    parser.add_argument(
        '--start-s', type=float, default=0.0, metavar='S', help='begin at this time of the video'
    )
    parser.add_argument(
        '--duration-s', type=float, default=0.0, metavar='S', help='take this much (default: all)'
    )
    parser.add_argument(
        '--compressed',
        type=int,
        nargs='?',
        const=92,
        default=0,
        metavar='QUALITY',
        help='record JPEG of this quality, 1..100 (92 when no number follows; default: rgb8)',
    )
    _add_start(parser)
    _add_camera_info(parser)
    _add_overwrite(parser)


def _add_label(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        'label',
        help='copy a bag and add the masks of a model to it',
        description='Copies a bag and writes the mask of each camera image behind it: mono8 '
        'class ids with the header of the image. What the ids mean is recorded too.',
    )
    parser.add_argument('bag', type=Path, metavar='BAG', help='bag folder, or one .mcap/.db3 file')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to make')
    add_engine_arguments(parser)
    parser.add_argument('--image-topic', default='', help='camera topic (default: found)')
    parser.add_argument('--topic', default='', help='of the masks (default: /segnext/mask)')
    _add_overwrite(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--overwrite', action='store_true', help='replace an earlier bag at OUT')


def _add_camera_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--camera-info',
        type=Path,
        metavar='YAML',
        help='calibration as written by camera_calibration; recorded as /camera/camera_info',
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--start',
        type=float,
        default=None,
        metavar='S',
        help='stamp of the first image, seconds since 1970 (default: 1700000000)',
    )

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception bag`: make recordings and look into them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import (
    add_engine_arguments,
    load_pipeline,
    parse_size,
    require_packages,
    show_progress,
)

if TYPE_CHECKING:
    from seg_perception.evaluation.bags.sources import SourceFrame
    from seg_perception.perception.labels import LabelSpace

NAME = 'bag'
HELP = 'make a rosbag2 recording of a sample drive, images or a video; label it, look into it'
DESCRIPTION = """\
Makes rosbag2 recordings (mcap) that `ros2 bag play`, RViz and Foxglove read, and shows what is
in one. No ROS installation is needed.

  seg_perception bag sample --seed 1 --frames 100 --size 512x1024 out/street
  seg_perception bag from-images camvid/val out/camvid --rate 15 --label-space camvid
  seg_perception bag from-camvid camvid out/camvid --split val
  seg_perception bag from-cityscapes cityscapes out/ulm --split train --city ulm --sequence
  seg_perception bag from-video drive.mp4 out/drive --compressed
  seg_perception bag label out/drive out/drive_labelled
  seg_perception bag info out/street
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    info.set_defaults(run_action=run_info)


def run(arguments: argparse.Namespace) -> int:
    """Run one subcommand."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    arguments.run_action(arguments)
    return 0


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
    parser.set_defaults(run_action=run_sample)


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
    parser.set_defaults(run_action=run_from_images)


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
    parser.set_defaults(run_action=run_from_camvid)


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
    parser.set_defaults(run_action=run_from_cityscapes)


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
    parser.set_defaults(run_action=run_from_video)


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
    parser.set_defaults(run_action=run_label)


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


def run_sample(arguments: argparse.Namespace) -> None:
    """Record a sample drive."""
    from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag

    height_px, width_px = arguments.size
    config = SampleBagConfig(
        seed=arguments.seed,
        frames=arguments.frames,
        height_px=height_px,
        width_px=width_px,
        rate_hz=arguments.rate,
        compressed=arguments.compressed,
        overwrite=arguments.overwrite,
    )
    write_sample_bag(
        arguments.out,
        config,
        lambda frames: show_progress(frames, 'sample drive', arguments.frames, 'frame'),
    )
    print(f'{arguments.out}: {arguments.frames} frames, {height_px}x{width_px}')


def run_from_images(arguments: argparse.Namespace) -> None:
    """Record a folder of images."""
    from seg_perception.evaluation.bags.sources import DEFAULT_START_S, ImageFolderSource
    from seg_perception.perception.labels import load_label_space

    space = load_label_space(arguments.label_space) if arguments.label_space else None
    source = ImageFolderSource(
        arguments.folder,
        arguments.rate,
        label_folder=arguments.labels,
        label_space=space,
        pattern=arguments.pattern,
        start_s=DEFAULT_START_S if arguments.start is None else arguments.start,
    )
    _record(source, len(source), arguments, space, raw=arguments.raw)


def run_from_camvid(arguments: argparse.Namespace) -> None:
    """Record a split of CamVid."""
    arguments.folder = arguments.folder / arguments.split
    arguments.labels = arguments.folder / 'labels'
    arguments.label_space = 'camvid'
    run_from_images(arguments)


def run_from_cityscapes(arguments: argparse.Namespace) -> None:
    """Record frames of Cityscapes."""
    from seg_perception.evaluation.bags.cityscapes import CityscapesConfig
    from seg_perception.evaluation.bags.cityscapes_recording import write_cityscapes_bag
    from seg_perception.evaluation.bags.sources import DEFAULT_START_S

    config = CityscapesConfig(
        root=arguments.folder,
        split=arguments.split,
        cities=tuple(arguments.city),
        sequence=arguments.sequence,
        start_s=DEFAULT_START_S if arguments.start is None else arguments.start,
    )
    bag = write_cityscapes_bag(
        arguments.out,
        config,
        arguments.overwrite,
        lambda frames, total: show_progress(frames, arguments.split, total, 'image'),
    )
    print(
        f'{arguments.out}: {bag.images} images, {bag.labels} labels, {bag.calibrated} with '
        f'calibration, {bag.with_odometry} with odometry'
    )


def run_from_video(arguments: argparse.Namespace) -> None:
    """Record a video file."""
    from seg_perception.evaluation.bags.sources import DEFAULT_START_S, VideoSource

    source = VideoSource(
        arguments.file,
        rate_hz=arguments.rate,
        begin_s=arguments.start_s,
        duration_s=arguments.duration_s,
        start_s=DEFAULT_START_S if arguments.start is None else arguments.start,
    )
    _record(source, len(source), arguments, None, jpeg_quality=arguments.compressed)


def _record(
    source: Iterable[SourceFrame],
    count: int,
    arguments: argparse.Namespace,
    label_space: LabelSpace | None,
    raw: bool = False,
    jpeg_quality: int = 0,
) -> None:
    from seg_perception.evaluation.bags.camera_files import load_camera_calibration
    from seg_perception.evaluation.bags.recording import CameraBagConfig, write_camera_bag

    calibration = None
    if arguments.camera_info is not None:
        calibration = load_camera_calibration(arguments.camera_info)
    origin = arguments.file if 'file' in arguments else arguments.folder
    config = CameraBagConfig(
        source_name='/'.join(origin.resolve().parts[-2:]),
        label_space=label_space,
        raw=raw,
        jpeg_quality=jpeg_quality,
        calibration=calibration,
        overwrite=arguments.overwrite,
    )
    written = write_camera_bag(
        show_progress(source, origin.name, count, 'image'), arguments.out, config
    )
    labelled = ', no labels' if label_space is None else f', labels: {label_space.name}'
    print(f'{arguments.out}: {written} images{labelled}')


def run_label(arguments: argparse.Namespace) -> None:
    """Copy a recording with masks."""
    from seg_perception.evaluation.bags.bag_label import LabelConfig, label_bag
    from seg_perception.evaluation.bags.bag_writer import check_target
    from seg_perception.evaluation.bags.topics import MASK_TOPIC
    from seg_perception.model_zoo.verify import compute_sha256

    # before the engine is loaded, which may take a minute
    check_target(arguments.out, arguments.overwrite)
    model_path, pipeline = load_pipeline(arguments)
    # models of the package and exported ones are folders with a model.onnx
    name = model_path.parent.name if model_path.name == 'model.onnx' else model_path.name
    try:
        config = LabelConfig(
            bag=arguments.bag,
            out=arguments.out,
            image_topic=arguments.image_topic,
            mask_topic=arguments.topic or MASK_TOPIC,
            model_name=f'{name} sha256 {compute_sha256(model_path)}',
            overwrite=arguments.overwrite,
        )
        result = label_bag(
            pipeline, config, lambda items, total: show_progress(items, 'label', total, 'message')
        )
    finally:
        pipeline.close()
    print(
        f'{arguments.out}: {result.mask_count} masks of {result.image_topic} on '
        f'{config.mask_topic}, {result.bad_count} images could not be read'
    )
    for reason in result.reasons:
        print(f'  bad image: {reason}')
    if result.damage:
        print(f'  damaged bag: {result.damage}')


def run_info(arguments: argparse.Namespace) -> None:
    """Show what a recording holds."""
    from seg_perception.evaluation.bags.bag_info import format_bag_info, inspect_bag

    print(format_bag_info(inspect_bag(arguments.bag)))

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception bag`: make recordings and look into them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import load_pipeline, require_packages, show_progress
from seg_perception.commands.bag_arguments import add_actions

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
    add_actions(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run one subcommand."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    ACTIONS[arguments.action](arguments)
    return 0


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


ACTIONS = {
    'sample': run_sample,
    'from-images': run_from_images,
    'from-camvid': run_from_camvid,
    'from-cityscapes': run_from_cityscapes,
    'from-video': run_from_video,
    'label': run_label,
    'info': run_info,
}

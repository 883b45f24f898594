# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Check the ground geometry on a real highway: the width of the lane, from calibrated images.

The image is warped to the ground by the lookup tables of the occupancy grids. Pitch and yaw come
from the vanishing point of the lane lines, the height from the period of the dashed lines
(--period-m). The width of the lane sets nothing and is then compared with --width-m. Assumed: a
flat road, roll 0, lines that are parallel with one gentle bend. `evaluation/lanes/lane_lines.py`
and `evaluation/lanes/lane_scale.py` say how each is found. Data are given by path: none come with
this repository.

The period differs between countries and states: 40 ft (12.19 m) in most of the USA, as it seems
48 ft (14.63 m) on freeways in California (docs/occupancy_geometry.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.camera_files import load_camera_calibration
from seg_perception.evaluation.files import replace_file
from seg_perception.evaluation.lanes.lane_lines import LaneLinesError
from seg_perception.evaluation.lanes.lane_scale import (
    GroundImage,
    LaneMeasurement,
    measure_lane,
    warp_to_ground,
)
from seg_perception.perception.camera_model import CameraModel, make_camera_model
from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.occupancy_config import GridConfig

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
PICTURE_GRID = GridConfig(0.03, 3.0, 39.0, -6.0, 6.0)
MARK_BGR = (255, 200, 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--stills', metavar='PATH', nargs='*', default=[],
                        help='images, or folders of them')  # fmt: skip
    parser.add_argument('--clip', metavar='FILE', help='video of the same camera')
    parser.add_argument('--every', type=int, default=3, help='take every n-th frame of the clip')
    parser.add_argument('--camera-info', metavar='FILE', required=True,
                        help='calibration as camera_calibration writes it (YAML)')  # fmt: skip
    parser.add_argument('--bottom-px', type=int, default=0,
                        help='first image row that shows the vehicle itself')  # fmt: skip
    parser.add_argument('--period-m', type=float, default=12.192,
                        help='from one dash to the next (default: 40 ft)')  # fmt: skip
    parser.add_argument('--width-m', type=float, default=3.7, help='true width of the lane')
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file')
    parser.add_argument('--picture', metavar='FILE',
                        help='draw the first still with a period, as PNG or JPEG')  # fmt: skip
    return parser.parse_args()


def list_stills(paths: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and image of each file, folders in order of their names."""
    for path in map(Path, paths):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir() and file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            image = cv2.imread(str(file))
            if image is None:
                raise UserError(f'cannot read the image {file}; expected a JPEG or PNG file')
            yield file.name, image


def read_clip(path: str, every: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and image of every n-th frame."""
    capture = cv2.VideoCapture(path)
    index = 0
    while True:
        good, image = capture.read()
        if not good:
            break
        if index % every == 0:
            yield f'{Path(path).name} frame {index}', image
        index += 1
    if index == 0:
        raise UserError(f'cannot read the video {path}; expected a file that OpenCV can decode')


def load_model(path: str) -> CameraModel:
    """Return the camera of a calibration file, for images that are not rectified."""
    info = load_camera_calibration(path)
    size = (info.height_px, info.width_px)
    return make_camera_model(
        size, size, info.distortion_model, info.distortion, info.camera_matrix,
        info.rectification, info.projection, rectified=False)  # fmt: skip


def measure(
    images: Iterator[tuple[str, np.ndarray]], model: CameraModel, bottom_px: int
) -> Iterator[tuple[str, np.ndarray, LaneMeasurement | str]]:
    """Yield name, image and measurement of each, or why there is none."""
    for name, image in images:
        if image.shape[:2] != (model.height_px, model.width_px):
            raise UserError(
                f'{name} is {image.shape[0]}x{image.shape[1]} px (height x width) but the '
                f'calibration is for {model.height_px}x{model.width_px}; leave it out'
            )
        try:
            yield name, image, measure_lane(image, model, bottom_px)
        except LaneLinesError as error:
            yield name, image, str(error)


def describe(
    name: str, found: LaneMeasurement | str, arguments: argparse.Namespace, height_m: float = 0.0
) -> dict[str, object]:
    """Return the figures of one image; height_m stands in for one that shows no period."""
    if isinstance(found, str):
        return {'name': name, 'not_measured': found}
    lines = found.lines
    out: dict[str, object] = {
        'name': name,
        'pitch_deg': round(float(np.degrees(lines.pitch_rad)), 3),
        'yaw_deg': round(float(np.degrees(lines.yaw_rad)), 3),
        'bend_radius_heights': round(1.0 / max(abs(lines.curvature), 1e-9)),
        'width_heights': round(found.width, 4),
    }
    if found.dashes is None:
        out['no_period'] = found.no_period
    else:
        dashes = found.dashes
        out['period_heights'] = round(dashes.period, 3)
        out['period_error'] = round(dashes.error / dashes.period, 4)
        out['period_of_each_line'] = {f'{y:.2f}': round(p, 2) for y, p in dashes.alone.items()}
        out['edges'] = dashes.edges
        out['own_height_m'] = round(arguments.period_m / dashes.period, 3)
        height_m = height_m or arguments.period_m / dashes.period
    if height_m:
        out['height_m'] = round(height_m, 3)
        out['width_m'] = round(found.width * height_m, 3)
        out['width_spread_m'] = round(found.spread * height_m, 3)
        out['width_places'] = len(found.widths)
        out['width_error'] = round(found.width * height_m / arguments.width_m - 1.0, 4)
    return out


def summarize(figures: list[dict], arguments: argparse.Namespace) -> dict[str, object]:
    """Return the median over images."""
    known = [entry for entry in figures if 'width_m' in entry]
    if not known:
        return {'images': len(figures), 'measured': 0}
    median = {
        key: float(np.median([entry[key] for entry in known]))
        for key in ('pitch_deg', 'height_m', 'width_m', 'width_spread_m', 'width_error')
    }
    return {
        'images': len(figures),
        'measured': len(known),
        'with_period': sum('period_heights' in entry for entry in known),
        **median,
        'width_least_m': min(entry['width_m'] for entry in known),
        'width_most_m': max(entry['width_m'] for entry in known),
        # The period with which the width would come out as expected: a check on the period.
        'period_of_expected_width_m': arguments.period_m * arguments.width_m / median['width_m'],
    }


def draw(
    image: np.ndarray, found: LaneMeasurement, model: CameraModel, height_m: float, bottom_px: int
) -> np.ndarray:
    """Draw the image from its horizon down and, below it, the ground seen from above."""
    lines = found.lines
    view = GroundView(model, lines.make_pose(height_m))
    offsets = [offset * height_m for offset in found.lane]
    bend = lines.curvature / height_m
    seen = draw_camera(image, view, offsets, bend, bottom_px)
    above = draw_ground(warp_to_ground(image, view, PICTURE_GRID, bottom_px), offsets, bend,
                        found.width * height_m, seen.shape[1])  # fmt: skip
    return np.vstack([seen, np.full((6, seen.shape[1], 3), 255, np.uint8), above])


def draw_camera(
    image: np.ndarray, view: GroundView, offsets: list[float], bend: float, bottom_px: int
) -> np.ndarray:
    """Draw the lane and lines across the road into the image, its distortion included."""
    out = image.copy()
    across = np.linspace(-6.0, 6.0, 121)
    for x in (10, 15, 20, 30, 40):
        draw_path(out, view, np.column_stack([np.full_like(across, x), across]), (0, 230, 0))
    along = np.linspace(3.0, 60.0, 400)
    for offset in offsets:
        path = np.column_stack([along, offset + 0.5 * bend * along**2])
        draw_path(out, view, path, MARK_BGR)
    for x in (10, 20, 40):
        u, v = view.find_pixels(np.array([[float(x), 0.0]]))[0]
        put_text(out, f'{x} m', (int(u) - 20, int(v) - 4), 0.6)
    if bottom_px:
        out[bottom_px:] = image[bottom_px:]
    horizon = view.find_pixels(np.array([[1000.0, 0.0]]))[0, 1]
    return out[max(0, int(horizon) - image.shape[0] // 6) :]


def draw_ground(
    ground: GroundImage, offsets: list[float], bend: float, width_m: float, width_px: int
) -> np.ndarray:
    """Draw the ground with the drive to the right, its left up, with scales in metres."""
    grid = ground.grid
    per_m = width_px / (grid.x_max_m - grid.x_min_m)
    height_px = round((grid.y_max_m - grid.y_min_m) * per_m)
    out = cv2.resize(np.ascontiguousarray(ground.colors_bgr[::-1]), (width_px, height_px))

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x - grid.x_min_m) * per_m), round((grid.y_max_m - y) * per_m)

    for x in range(5, int(grid.x_max_m), 5):
        cv2.line(out, place(x, grid.y_min_m), place(x, grid.y_min_m + 0.4), (255, 255, 255), 2)
        put_text(out, f'{x} m', place(x - 0.5, grid.y_min_m + 0.6), 0.6)
    for y in range(-4, 5, 2):
        cv2.line(out, place(grid.x_min_m, y), place(grid.x_min_m + 0.3, y), (255, 255, 255), 2)
        put_text(out, f'{y} m', place(grid.x_min_m + 0.4, y - 0.15), 0.6)
    at = 11.0
    ends = [place(at, offset + 0.5 * bend * at * at) for offset in offsets]
    for start, end in (ends, ends[::-1]):
        cv2.arrowedLine(out, start, end, MARK_BGR, 2, cv2.LINE_AA, tipLength=0.08)
    put_text(out, f'{width_m:.2f} m', (ends[0][0] + 10, (ends[0][1] + ends[1][1]) // 2), 0.9)
    return out


def draw_path(
    image: np.ndarray, view: GroundView, points_m: np.ndarray, color: tuple
) -> None:
    """Draw ground points as the camera sees them, its distortion included."""
    pixels = view.find_pixels(points_m)
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    cv2.polylines(image, [np.rint(pixels).astype(np.int32)], False, color, 2, cv2.LINE_AA)


def put_text(image: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    """Write white text with a dark edge."""
    for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, width, cv2.LINE_AA)


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure all images and write the picture."""
    if not arguments.stills and not arguments.clip:
        raise UserError('nothing to measure; give --stills, --clip or both')
    model = load_model(arguments.camera_info)
    bottom = arguments.bottom_px
    stills, drawn = [], False
    for name, image, found in measure(list_stills(arguments.stills), model, bottom):
        stills.append(describe(name, found, arguments))
        if arguments.picture and not drawn and 'height_m' in stills[-1]:
            assert isinstance(found, LaneMeasurement) and found.dashes is not None
            height_m = arguments.period_m / found.dashes.period
            picture = draw(image, found, model, height_m, bottom)
            picture = cv2.resize(picture, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
            write_picture(Path(arguments.picture), picture)
            drawn = True
    out: dict[str, object] = {
        'period_m': arguments.period_m, 'expected_width_m': arguments.width_m}  # fmt: skip
    if stills:
        out['stills'] = {**summarize(stills, arguments), 'each': stills}
    if arguments.clip:
        images = read_clip(arguments.clip, arguments.every)
        frames = [(name, found) for name, _, found in measure(images, model, bottom)]
        # One camera, one height: the median of what the frames say.
        heights = [
            arguments.period_m / found.dashes.period
            for _, found in frames
            if isinstance(found, LaneMeasurement) and found.dashes is not None
        ]
        height_m = float(np.median(heights)) if heights else 0.0
        figures = [describe(name, found, arguments, height_m) for name, found in frames]
        out['clip'] = {**summarize(figures, arguments), 'each': figures}
    return out


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture in the format of its suffix."""
    jpeg = path.suffix.lower() in ('.jpg', '.jpeg')
    settings = [cv2.IMWRITE_JPEG_QUALITY, 85] if jpeg else []
    good, data = cv2.imencode(path.suffix, picture, settings)
    if not good:
        raise UserError(f'cannot write {path}; expected a name that ends in .png or .jpg')
    replace_file(path, lambda temporary: temporary.write_bytes(data.tobytes()))


def main() -> int:
    arguments = parse_arguments()
    try:
        figures = run(arguments)
        text = json.dumps(figures, indent=2) + '\n'
        print(text, end='')
        if arguments.json:
            target = Path(arguments.json)
            replace_file(target, lambda path: path.write_text(text, encoding='utf-8'))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())

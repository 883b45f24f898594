# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a report shows along the drive: its frames in a row, and pictures of some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.saved_result import SavedResult, read_latencies_ms
from seg_perception.evaluation.reports.report_frames import (
    FrameScores,
    ReportFrame,
    choose_spaced,
    choose_worst,
    encode_tiles,
    find_fold_lut,
    score_frames,
)

THUMBNAIL_WIDTH_PX = 400
WORST_WIDTH_PX = 640
# Pictures are thinned out until they fit into a page of 8 MB, which most mail servers take.
PICTURES_BYTES = 6_500_000
# More frames are thinned out for the page's script; frames.jsonl has all.
_MOST_FRAMES = 20_000
_BAG_GAP_S = 1.0


@dataclass(frozen=True)
class Drive:
    """The frames of all recordings, one after another.

    Attributes:
        records: of the frames.
        bags: name of each frame's recording.
        times_s: (frames,) float64, from the start of the first recording.
        scores: by frame.
        latencies_ms: (frames,) float64, NaN without one.
    """

    records: list[FrameRecord]
    bags: list[str]
    times_s: np.ndarray
    scores: FrameScores
    latencies_ms: np.ndarray


@dataclass(frozen=True)
class DrivePicture:
    """Pictures of one frame, by their kind, as data URIs; position: of the frame in the drive."""

    position: int
    tiles: Mapping[str, str]


def line_up(result: SavedResult) -> Drive:
    """Return the frames of a result in the order of their stamps, recordings one by one."""
    records: list[FrameRecord] = []
    bags: list[str] = []
    times: list[np.ndarray] = [np.zeros(0)]
    start_s = 0.0
    for bag in result.bags:
        if not bag.records:
            continue
        own_s = _measure_times(bag.records)
        order = np.argsort(own_s, kind='stable')
        records += [bag.records[i] for i in order]
        bags += [bag.path] * len(order)
        times.append(start_s + own_s[order])
        start_s = float(times[-1][-1]) + _BAG_GAP_S
    return Drive(
        records,
        bags,
        np.concatenate(times),
        score_frames(records, len(result.class_names)),
        read_latencies_ms(records),
    )


def _measure_times(records: Sequence[FrameRecord]) -> np.ndarray:
    """Return (frames,) s since the first; a frame without a stamp is where the one before is."""
    stamps_ns = [record.stamp_ns for record in records]
    known = [stamp_ns for stamp_ns in stamps_ns if stamp_ns > 0]
    last_ns = start_ns = min(known, default=0)
    times_s = []
    for stamp_ns in stamps_ns:
        last_ns = stamp_ns if stamp_ns > 0 else last_ns
        times_s.append((last_ns - start_ns) / 1e9)
    return np.array(times_s)


def encode_pictures(
    result: SavedResult, drive: Drive, pictures: Sequence[ReportFrame]
) -> tuple[list[DrivePicture], list[DrivePicture]]:
    """Return the pictures of evenly spaced frames, small, and of the worst, large."""
    positions = {
        (bag, record.index): position
        for position, (bag, record) in enumerate(zip(drive.bags, drive.records, strict=True))
    }
    single_bag = drive.bags[0] if drive.bags else ''
    shown = {
        positions[frame.bag or single_bag, frame.index]: frame
        for frame in pictures
        if (frame.bag or single_bag, frame.index) in positions
    }
    order = sorted(shown)
    spaces = {shown[i].label_space for i in order if shown[i].truth is not None}
    luts = {s: find_fold_lut(result.label_space, result.class_names, s) for s in spaces}

    def encode(position: int, width_px: int) -> DrivePicture:
        frame = shown[position]
        lut = luts.get(frame.label_space, np.zeros(0, np.uint8))
        return DrivePicture(position, encode_tiles(frame, width_px, lut))

    small = [encode(order[k], THUMBNAIL_WIDTH_PX) for k in choose_spaced(len(order))]
    worst = choose_worst([drive.records[i] for i in order], len(result.class_names))
    large = [encode(order[k], WORST_WIDTH_PX) for k in worst]
    while sum(map(count_bytes, large)) > PICTURES_BYTES / 2:
        large.pop()
    return thin_out(small, PICTURES_BYTES - sum(map(count_bytes, large))), large


def count_bytes(picture: DrivePicture) -> int:
    """Return what a picture takes in the page."""
    return sum(map(len, picture.tiles.values()))


def thin_out(pictures: Sequence[DrivePicture], most_bytes: float) -> list[DrivePicture]:
    """Return as many evenly spaced pictures as have this size together."""
    if not pictures:
        return []
    sizes = [count_bytes(picture) for picture in pictures]
    most = len(pictures)
    chosen = choose_spaced(len(pictures), most)
    while most > 1 and sum(sizes[i] for i in chosen) > most_bytes:
        most -= 1
        chosen = choose_spaced(len(pictures), most)
    return [pictures[i] for i in chosen]


def format_data(drive: Drive, spaced: Sequence[DrivePicture]) -> str:
    """Return what the page's script needs, as JSON that may stand inside a script element."""
    step = -(-len(drive.records) // _MOST_FRAMES) or 1
    kept = sorted({*range(0, len(drive.records), step), *(p.position for p in spaced)})
    place = {position: number for number, position in enumerate(kept)}
    bags = list(dict.fromkeys(drive.bags))
    data = {
        'bags': bags,
        'frames': {
            'bag': [bags.index(drive.bags[i]) for i in kept],
            'index': [drive.records[i].index for i in kept],
            'status': [drive.records[i].status for i in kept],
            'time_s': _round(drive.times_s[kept]),
            'latency_ms': _round(drive.latencies_ms[kept]),
            'accuracy': _round(drive.scores.accuracy[kept]),
            'miou': _round(drive.scores.miou[kept]),
        },
        'pictures': [{'frame': place[p.position], 'tiles': p.tiles} for p in spaced],
    }
    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    # a bag named </script> would end the element
    return text.replace('<', '\\u003c')


def _round(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]

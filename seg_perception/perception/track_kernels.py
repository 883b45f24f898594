# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the tracks; `tracks.py` explains the method and is the interface.

Masks are runs: (row, first column, column after the last) and the segment that they belong to. A
street's things have some ten thousand, so comparing masks takes no pass over pixels.
"""

from __future__ import annotations

import numpy as np

from seg_perception.perception.compiling import compile_kernel

INSTANCES_PER_CLASS = 1000
# How much each figure counts when tracks are assigned, found on a drive of its own (seed 101).
IOU_WEIGHT = 4.0
NEARNESS_WEIGHT = 2.0
AREA_WEIGHT = 0.1  # of the logarithm of two areas' ratio
CENTROID_WEIGHT = 0.1  # of the distance of centroids beside that of edges
LEAST_IOU = 0.05


@compile_kernel(nogil=True)
def list_runs(panoptic, segment_of_id, ids, runs, row_starts):
    """List the runs of the numbered instances of a map.

    Args:
        panoptic: (H, W) int32.
        segment_of_id: (I,) int32 by id, -1 at first; receives the segments' places.
        ids: (S,) int32 output, the id of each segment in order of appearance.
        runs: (R, 4) int32 output, row, start, end and segment, in raster order.
        row_starts: (H + 1,) int64 output, first run of each row.

    Returns:
        (number of segments, number of runs): the arrays are incomplete where it is more than they
        hold; (-1, id) for an id beyond the table.
    """
    height, width = panoptic.shape
    segments, count = 0, 0
    for row in range(height):
        row_starts[row] = count
        start = 0
        while start < width:
            id_ = panoptic[row, start]
            end = start + 1
            while end < width and panoptic[row, end] == id_:
                end += 1
            if id_ >= segment_of_id.size:
                return -1, id_
            if id_ > 0 and id_ % INSTANCES_PER_CLASS > 0:
                if segment_of_id[id_] < 0:
                    segment_of_id[id_] = segments
                    ids[segments] = id_
                    segments += 1
                if count < runs.shape[0]:
                    runs[count, 0] = row
                    runs[count, 1] = start
                    runs[count, 2] = end
                    runs[count, 3] = segment_of_id[id_]
                count += 1
            start = end
    row_starts[height] = count
    return segments, count


@compile_kernel(nogil=True)
def measure_segments(runs, sums, boxes):
    """Add up area, rows and columns of each segment and find its box.

    sums: (S, 3) float64 output, zero at first. boxes: (S, 4) int32 output, top, left, bottom,
    right, half open; top and left large, the others 0 at first.
    """
    for index in range(runs.shape[0]):
        row, start, end, segment = runs[index]
        length = end - start
        sums[segment, 0] += length
        sums[segment, 1] += row * length
        sums[segment, 2] += 0.5 * (start + end - 1) * length
        box = boxes[segment]
        box[0] = min(box[0], row)
        box[1] = min(box[1], start)
        box[2] = max(box[2], row + 1)
        box[3] = max(box[3], end)


@compile_kernel(nogil=True)
def count_overlaps(track_runs, shifts, runs, row_starts, width, shared, areas):
    """Count the pixels that each moved track shares with each segment.

    Args:
        track_runs: (T, 4) int32, row, start, end and track.
        shifts: (tracks, 2) int32, rows and columns that each track is moved by.
        runs: (R, 4) int32 of the image, in raster order, and its `row_starts`.
        width: of the image.
        shared: (tracks, S) int64 output, zero at first.
        areas: (tracks,) int64 output, zero at first: pixels of the moved track in the image.
    """
    height = row_starts.size - 1
    for index in range(track_runs.shape[0]):
        track = track_runs[index, 3]
        row = track_runs[index, 0] + shifts[track, 0]
        start = max(0, track_runs[index, 1] + shifts[track, 1])
        end = min(width, track_runs[index, 2] + shifts[track, 1])
        if row < 0 or row >= height or start >= end:
            continue
        areas[track] += end - start
        first, last = row_starts[row], row_starts[row + 1]
        while first < last:  # the first run that ends behind the start
            middle = (first + last) // 2
            if runs[middle, 2] <= start:
                first = middle + 1
            else:
                last = middle
        while first < row_starts[row + 1] and runs[first, 1] < end:
            overlap = min(end, runs[first, 2]) - max(start, runs[first, 1])
            shared[track, runs[first, 3]] += overlap
            first += 1


@compile_kernel(nogil=True)
def rate_pairs(
    track_ids, track_areas, track_boxes, track_centroids, moves, moved_areas, ids, areas, boxes,
    centroids, shared, reach_px, fit,
):  # fmt: skip
    """Rate how well each segment fits each track, 0 where it cannot be the track's object.

    In Python the same took 0.3 ms for 14 tracks.

    Args:
        track_ids, track_areas, track_boxes, track_centroids: of T tracks when last seen: (T,)
            int32, (T,) float64, (T, 4) float64 and (T, 2) float64.
        moves: (T, 2) float64, rows and columns that each has moved since.
        moved_areas: (T,) int64, pixels of the moved track in the image.
        ids, areas, boxes, centroids: of S segments, of the same types.
        shared: (T, S) int64, pixels that both share.
        reach_px: how far edges may be from where they are foreseen, before the size is added.
        fit: (T, S) float64 output.
    """
    for track in range(track_ids.size):
        step_y, step_x = moves[track, 0], moves[track, 1]
        for segment in range(ids.size):
            fit[track, segment] = 0.0
            if track_ids[track] // INSTANCES_PER_CLASS != ids[segment] // INSTANCES_PER_CLASS:
                continue
            overlap = shared[track, segment]
            iou = overlap / (moved_areas[track] + areas[segment] - overlap)
            old, new = track_boxes[track], boxes[segment]
            edge_y = min(abs(new[0] - old[0] - step_y), abs(new[2] - old[2] - step_y))
            edge_x = min(abs(new[1] - old[1] - step_x), abs(new[3] - old[3] - step_x))
            apart_y = centroids[segment, 0] - track_centroids[track, 0] - step_y
            apart_x = centroids[segment, 1] - track_centroids[track, 1] - step_x
            distance = np.hypot(edge_y, edge_x) + CENTROID_WEIGHT * np.hypot(apart_y, apart_x)
            size = np.sqrt(max(track_areas[track], areas[segment]))
            nearness = max(0.0, 1.0 - distance / (reach_px + size))
            if iou <= LEAST_IOU and nearness == 0.0:
                continue
            value = 1.0 + IOU_WEIGHT * iou + NEARNESS_WEIGHT * nearness
            if nearness > 0.0:
                value -= AREA_WEIGHT * abs(np.log(track_areas[track] / areas[segment]))
            fit[track, segment] = max(value, 0.0)


@compile_kernel(nogil=True)
def write_runs(runs, ids, panoptic):
    """Write the id of each segment where its runs are. ids: (S,) int32."""
    for index in range(runs.shape[0]):
        row = runs[index, 0]
        id_ = ids[runs[index, 3]]
        for column in range(runs[index, 1], runs[index, 2]):
            panoptic[row, column] = id_

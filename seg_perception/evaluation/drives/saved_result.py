# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The result of an evaluation as it is read back: checked, and its records as arrays.

Counts are per frame, so that whoever reads them can sum any set of frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.metrics.calibration_error import BINS

SCHEMA = 'seg_perception/evaluation/1'
_LEVELS = 255
_HOW_TO_FIX = 'write it again with "seg_perception evaluate BAG --json FILE"'


@dataclass(frozen=True)
class SavedBag:
    """One recording of a result: where it was, and the record of each of its images."""

    path: str
    records: tuple[FrameRecord, ...]


@dataclass(frozen=True)
class SavedResult:
    """A result file.

    Attributes:
        name: what messages call it.
        figures: everything but the records, by their JSON key.
        label_space: name of the label space in which is scored.
        class_names: its classes.
        bags: the recordings.
    """

    name: str
    figures: Mapping[str, Any]
    label_space: str
    class_names: tuple[str, ...]
    bags: tuple[SavedBag, ...]

    @property
    def setup(self) -> Mapping[str, Any]:
        """What was evaluated, how and where."""
        return dict(self.figures['setup'])

    def list_records(self) -> list[FrameRecord]:
        """Return the records of all recordings, in order."""
        return [record for bag in self.bags for record in bag.records]


def load_result(path: Path) -> SavedResult:
    """Read a result file.

    Raises:
        UserError: it cannot be read, or holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'), parse_constant=_refuse_constant)
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror or error}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is no whole JSON file ({error}); {_HOW_TO_FIX}') from error
    return parse_result(content, str(path))


def parse_result(content: Any, name: str) -> SavedResult:
    """Check the JSON values of a result.

    Args:
        content: the values.
        name: what messages call them, such as the file.

    Raises:
        UserError: something is missing or of another kind.
    """
    problem = _find_problem(content)
    if problem:
        raise UserError(f'{name} is no result of an evaluation: {problem}; {_HOW_TO_FIX}')
    setup = content['setup']
    bags = []
    for bag in content['bags']:
        try:
            records = tuple(FrameRecord.from_json(values) for values in bag['frames'])
        except UserError as error:
            raise UserError(f'{name}, bag {bag["bag"]}: {error}; {_HOW_TO_FIX}') from error
        bags.append(SavedBag(bag['bag'], records))
    figures = {key: value for key, value in content.items() if key != 'bags'}
    return SavedResult(
        name, figures, setup['label_space'], tuple(setup['class_names']), tuple(bags)
    )


def count_classes(records: Sequence[FrameRecord], num_classes: int) -> np.ndarray:
    """Return (frames, 3, C) int64: pixels that are right, true and predicted, by class.

    Records without labels have zeros. Raises UserError for rows that no metric writes.
    """
    counts = np.zeros((len(records), 3, num_classes), np.int64)
    for frame, record in zip(counts, records, strict=True):
        rows = read_rows(record, 'confusion', 3, num_classes)
        true, predicted, pixels = rows.T.astype(np.int64)
        is_right = true == predicted
        frame[0, true[is_right]] = pixels[is_right]
        np.add.at(frame[1], true, pixels)
        np.add.at(frame[2], predicted[predicted >= 0], pixels[predicted >= 0])
    return counts


def sum_confusion(records: Sequence[FrameRecord], num_classes: int) -> np.ndarray:
    """Return (C, C + 1) int64 pixels by true and predicted class; the last is 'no class'."""
    counts = np.zeros((num_classes, num_classes + 1), np.int64)
    for record in records:
        rows = read_rows(record, 'confusion', 3, num_classes)
        true, predicted, pixels = rows.T.astype(np.int64)
        # -1, no class, is the last column
        np.add.at(counts, (true, predicted), pixels)
    return counts


def count_confidence(records: Sequence[FrameRecord]) -> np.ndarray:
    """Return (frames, 3, BINS) float64: pixels, sum of their confidence, right ones, by bin."""
    counts = np.zeros((len(records), 3, BINS))
    for frame, record in zip(counts, records, strict=True):
        index, pixels, right, level_sum = read_rows(record, 'calibration', 4, BINS).T
        frame[:, index.astype(np.int64)] = pixels, level_sum / _LEVELS, right
    return counts


def sum_boundaries(records: Sequence[FrameRecord], num_classes: int) -> np.ndarray:
    """Return (frames, 2, C) float64: boundary F-score or 0, and 1 where there is one."""
    sums = np.zeros((len(records), 2, num_classes))
    for frame, record in zip(sums, records, strict=True):
        rows = read_rows(record, 'boundary', 2, num_classes)
        class_ids = rows[:, 0].astype(np.int64)
        frame[0, class_ids] = rows[:, 1]
        frame[1, class_ids] = 1.0
    return sums


def read_latencies_ms(records: Sequence[FrameRecord]) -> np.ndarray:
    """Return (frames,) float64: from publisher to subscriber live, bytes to mask offline.

    NaN where an image has no time.
    """
    times = (
        record.times_ms.get('latency', record.times_ms.get('total', np.nan)) for record in records
    )
    return np.fromiter(times, np.float64, len(records))


def read_rows(record: FrameRecord, metric: str, columns: int, num_ids: int) -> np.ndarray:
    """Return what a metric counted in a frame: (rows, columns) float64, no rows for nothing.

    Args:
        record: of the frame.
        metric: its key.
        columns: numbers in a row.
        num_ids: the first number of each row is below this.

    Raises:
        UserError: other rows than these.
    """
    values = record.metrics.get(metric)
    if not values:
        return np.zeros((0, columns))
    try:
        rows = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        rows = np.zeros(0)
    ids = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == columns else np.full(1, -1)
    if not (np.isfinite(rows).all() and ids.min() >= 0 and ids.max() < num_ids):
        raise UserError(
            f'image {record.index}: its rows of {metric} are damaged; expected {columns} numbers '
            f'each, the first 0..{num_ids - 1}; {_HOW_TO_FIX}'
        )
    if metric == 'confusion' and not ((rows[:, 1] >= -1) & (rows[:, 1] < num_ids)).all():
        raise UserError(
            f'image {record.index} has a predicted class that is not one of the {num_ids} of the '
            f'label space; {_HOW_TO_FIX}'
        )
    return rows


def _find_problem(content: Any) -> str:
    """Return why a JSON value is no result, '' when it is."""
    if not isinstance(content, dict):
        return f'it holds a {type(content).__name__}, expected an object'
    if content.get('schema') != SCHEMA:
        return f'its schema is {content.get("schema")!r}, expected {SCHEMA!r}'
    setup, bags = content.get('setup'), content.get('bags')
    if not isinstance(setup, dict):
        return 'it has no object setup'
    names = setup.get('class_names')
    if not isinstance(setup.get('label_space'), str) or not _is_list_of(names, str):
        return 'its setup has no label_space and class_names'
    if not isinstance(bags, list) or not _is_list_of(bags, dict):
        return 'it has no list of bags'
    for bag in bags:
        if not isinstance(bag.get('bag'), str) or not _is_list_of(bag.get('frames'), dict):
            return 'a bag has no name or no list of frames'
        for values in bag.get('frames', ()):
            problem = _find_record_problem(values)
            if problem:
                return f'bag {bag["bag"]}: {problem}'
    return ''


def _find_record_problem(values: Mapping[str, Any]) -> str:
    for key in ('index', 'stamp_ns'):
        if not isinstance(values.get(key), int) or isinstance(values[key], bool):
            return f'the {key} of an image is {values.get(key)!r}, expected a whole number'
    for key in ('metrics', 'times_ms'):
        if not isinstance(values.get(key, {}), dict):
            return f'the {key} of image {values["index"]} are no object'
    for stage, value in values.get('times_ms', {}).items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return f'the time {stage} of image {values["index"]} is {value!r}, expected a number'
    return ''


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _refuse_constant(text: str) -> None:
    raise ValueError(f'{text} is no JSON number')

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Label spaces (class names, ids, colours) and set-valued mappings between them."""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.errors import UserError

UNLABELLED_ID = 255
_LABELS_FOLDER = 'labels'
_SPACE_KEYS = {'name', 'ignore_id', 'classes'}
_CLASS_KEYS = {'name', 'color', 'thing'}
_MAPPING_KEYS = {'source', 'target', 'accepts'}


class LabelError(UserError, ValueError):
    """A label space or label mapping that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a network, data set or bag; the id of a class is its position.

    Attributes:
        name: short name of the space, for example 'cityscapes'.
        class_names: one name per class id, unique also when written as ROS names.
        palette: one (red, green, blue) colour, 0..255, per class id.
        ignore_id: id of unlabelled pixels in this space's label images. 255 is always
            unlabelled too, in every space.
        thing_ids: ids of the classes that have countable instances.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_id: int = UNLABELLED_ID
    thing_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_space(self)

    @property
    def num_classes(self) -> int:
        """Number of classes, unlabelled not counted."""
        return len(self.class_names)

    def find_id(self, class_name: str) -> int:
        """Return the id of a class name; raises LabelError naming the known ones."""
        if class_name not in self.class_names:
            known = ', '.join(self.class_names)
            raise LabelError(
                f"label space '{self.name}' has no class '{class_name}'; it has: {known}"
            )
        return self.class_names.index(class_name)

    def palette_array(self, order: str = 'rgb') -> np.ndarray:
        """Return the colours as a (256, 3) uint8 table by id, black where there is no class.

        Args:
            order: 'rgb' or 'bgr', the channel order of the image that is to be coloured.
        """
        if order not in ('rgb', 'bgr'):
            raise ValueError(f"channel order is '{order}', expected 'rgb' or 'bgr'")
        table = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.palette
        return table if order == 'rgb' else np.ascontiguousarray(table[:, ::-1])

    def to_json(self) -> str:
        """Return the space as one JSON object, the form stored in a model file."""
        return json.dumps(
            {
                'name': self.name,
                'class_names': self.class_names,
                'palette': self.palette,
                'ignore_id': self.ignore_id,
                'thing_ids': self.thing_ids,
            },
            separators=(',', ':'),
        )

    @staticmethod
    def from_json(text: str) -> LabelSpace:
        """Rebuild a space from `to_json`; raises LabelError when the text is no such object."""
        try:
            fields = json.loads(text)
            return LabelSpace(
                name=fields['name'],
                class_names=tuple(fields['class_names']),
                palette=tuple(tuple(color) for color in fields['palette']),
                ignore_id=fields['ignore_id'],
                thing_ids=tuple(fields['thing_ids']),
            )
        except LabelError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise LabelError(f'not a label space in JSON: {text[:80]!r} ({error})') from error


@dataclass(frozen=True)
class LabelMapping:
    """For each class of `source`, the classes of a finer `target` that are right for it.

    Attributes:
        source: the coarser space, that of the ground truth (for example CamVid).
        target: the space a network predicts (for example Cityscapes).
        accepts: per source id the target ids that count as right, () for none.
        primary: per source id the one target id to learn, `target.ignore_id` for none.
    """

    source: LabelSpace
    target: LabelSpace
    accepts: tuple[tuple[int, ...], ...]
    primary: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.accepts) != self.source.num_classes or len(self.primary) != len(self.accepts):
            raise LabelError(
                f"mapping '{self.source.name}' to '{self.target.name}' has {len(self.accepts)} "
                f'sets and {len(self.primary)} primary ids, expected '
                f'{self.source.num_classes} of each, one per source class'
            )
        owner: dict[int, int] = {}
        for source_id, targets in enumerate(self.accepts):
            for target_id in targets:
                if target_id in owner and owner[target_id] != source_id:
                    raise LabelError(
                        f"target class '{self.target.class_names[target_id]}' is accepted for "
                        f"both '{self.source.class_names[owner[target_id]]}' and "
                        f"'{self.source.class_names[source_id]}'; a prediction could not be "
                        'folded back: list it once'
                    )
                owner[target_id] = source_id

    def target_lut(self) -> np.ndarray:
        """Return the (256,) uint8 table target id -> source id (`source.ignore_id` if none)."""
        table = np.full(256, self.source.ignore_id, np.uint8)
        for source_id, targets in enumerate(self.accepts):
            table[list(targets)] = source_id
        return table

    def primary_lut(self) -> np.ndarray:
        """Return the (256,) uint8 table source id -> target id to learn (ignore if none)."""
        table = np.full(256, self.target.ignore_id, np.uint8)
        table[: len(self.primary)] = self.primary
        return table

    def accept_matrix(self) -> np.ndarray:
        """Return (source classes, target classes) bool, True where the target id is right."""
        matrix = np.zeros((self.source.num_classes, self.target.num_classes), bool)
        for source_id, targets in enumerate(self.accepts):
            matrix[source_id, list(targets)] = True
        return matrix

    def fold(self, target_mask: np.ndarray) -> np.ndarray:
        """Turn a mask of target ids (any shape, uint8) into one of source ids (uint8)."""
        if target_mask.dtype != np.uint8:
            raise ValueError(f'mask is {target_mask.dtype}, expected uint8')
        return self.target_lut()[target_mask]


def list_label_spaces() -> tuple[str, ...]:
    """Return the names of the label spaces that come with the package."""
    names = (entry.name for entry in _labels_folder().iterdir())
    return tuple(sorted(n[:-5] for n in names if n.endswith('.yaml') and '_to_' not in n))


def load_label_space(name_or_path: str | Path) -> LabelSpace:
    """Load a label space by the package's name for it, or from a YAML file.

    The file has `name`, optionally `ignore_id` (default 255) and `classes`, a list of
    `{name: road, color: [128, 64, 128]}` in the order of the network's outputs, with
    `thing: true` for the classes that have instances.

    Raises:
        LabelError: unknown name, unreadable file or a fault in it, naming file and entry.
    """
    text = str(name_or_path)
    if Path(text).suffix.lower() in ('.yaml', '.yml') or '/' in text:
        return _parse_space(_read_yaml_file(Path(text)), text)
    if text not in list_label_spaces():
        known = ', '.join(list_label_spaces())
        raise LabelError(
            f"unknown label space '{text}'; known: {known}, or a path to a .yaml file"
        )
    return _load_package_space(text)


@cache
def load_label_mapping(source: str, target: str) -> LabelMapping:
    """Load the package's mapping between two label spaces; equal names give the identity.

    Raises:
        LabelError: there is no such mapping, the known ones are listed.
    """
    if source == target:
        space = load_label_space(source)
        ids = tuple(range(space.num_classes))
        return LabelMapping(space, space, tuple((i,) for i in ids), ids)
    entry = _labels_folder() / f'{source}_to_{target}.yaml'
    if not entry.is_file():
        known = sorted(e.name[:-5] for e in _labels_folder().iterdir() if '_to_' in e.name)
        raise LabelError(
            f"no mapping from label space '{source}' to '{target}'; known: {', '.join(known)}"
        )
    return _parse_mapping(_parse_yaml(entry.read_text(encoding='utf-8'), entry.name), entry.name)


def read_label_mapping(path: str | Path) -> LabelMapping:
    """Read a mapping from a YAML file; `labels/camvid_to_cityscapes.yaml` is an example.

    Raises:
        LabelError: unreadable file or a fault in it, naming file and entry.
    """
    return _parse_mapping(_read_yaml_file(Path(path).expanduser()), str(path))


def _labels_folder() -> Any:
    return importlib.resources.files('seg_perception') / _LABELS_FOLDER


@cache
def _load_package_space(name: str) -> LabelSpace:
    entry = _labels_folder() / f'{name}.yaml'
    return _parse_space(_parse_yaml(entry.read_text(encoding='utf-8'), entry.name), entry.name)


def _read_yaml_file(path: Path) -> Any:
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"cannot read label file '{path}': {error}") from error
    return _parse_yaml(text, str(path))


def _parse_yaml(text: str, where: str) -> Any:
    import yaml  # 20 ms to import, and most callers get their labels from the model file

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LabelError(f"label file '{where}' is not valid YAML: {error}") from error


def _require_keys(content: Any, known: set[str], required: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise LabelError(
            f'{where}: expected a mapping with {", ".join(sorted(required))}, '
            f'got {type(content).__name__}'
        )
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise LabelError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(known))}")
    missing = sorted(required - set(content))
    if missing:
        raise LabelError(f"{where}: key '{missing[0]}' is missing")


def _parse_space(content: Any, where: str) -> LabelSpace:
    label = f"label file '{where}'"
    _require_keys(content, _SPACE_KEYS, {'name', 'classes'}, label)
    classes = content['classes']
    if not isinstance(classes, list) or not classes:
        raise LabelError(f"{label}: 'classes' must be a list with at least one class")
    for index, entry in enumerate(classes):
        _require_keys(entry, _CLASS_KEYS, {'name', 'color'}, f'{label}: class {index}')
        if not isinstance(entry['color'], list):
            raise LabelError(
                f'{label}: class {index}: color is {entry["color"]!r}, '
                'expected [red, green, blue] with 0..255 each'
            )
        if not isinstance(entry.get('thing', False), bool):
            raise LabelError(
                f'{label}: class {index}: thing is {entry["thing"]!r}, expected true or false'
            )
    try:
        return LabelSpace(
            name=content['name'],
            class_names=tuple(entry['name'] for entry in classes),
            palette=tuple(tuple(entry['color']) for entry in classes),
            ignore_id=content.get('ignore_id', UNLABELLED_ID),
            thing_ids=tuple(i for i, entry in enumerate(classes) if entry.get('thing', False)),
        )
    except LabelError as error:
        raise LabelError(f'{label}: {error}') from error


def _parse_mapping(content: Any, where: str) -> LabelMapping:
    label = f"label mapping '{where}'"
    _require_keys(content, _MAPPING_KEYS, _MAPPING_KEYS, label)
    source = load_label_space(content['source'])
    target = load_label_space(content['target'])
    for name in content['accepts']:
        source.find_id(name)
    accepts = tuple(
        tuple(target.find_id(name) for name in content['accepts'].get(class_name, ()))
        for class_name in source.class_names
    )
    primary = tuple(targets[0] if targets else target.ignore_id for targets in accepts)
    return LabelMapping(source, target, accepts, primary)


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_space(space: LabelSpace) -> None:
    if not isinstance(space.name, str) or not space.name.strip():
        raise LabelError(f'name of the label space is {space.name!r}, expected a text')
    if not 1 <= space.num_classes <= UNLABELLED_ID:
        raise LabelError(
            f'{space.num_classes} classes, expected 1 to {UNLABELLED_ID} '
            '(a mask has 8 bits and 255 means unlabelled)'
        )
    _check_names(space.class_names)
    if len(space.palette) != space.num_classes:
        raise LabelError(
            f'palette has {len(space.palette)} colors for {space.num_classes} classes, '
            'expected one per class'
        )
    for name, color in zip(space.class_names, space.palette, strict=True):
        if len(color) != 3 or not all(_is_int(channel, 0, 255) for channel in color):
            raise LabelError(
                f"color of class '{name}' is {list(color)}, "
                'expected [red, green, blue] with 0..255 each'
            )
    if not _is_int(space.ignore_id, space.num_classes, 255):
        raise LabelError(
            f'ignore_id is {space.ignore_id!r}, expected an integer from '
            f'{space.num_classes} (the number of classes) to 255'
        )
    for thing_id in space.thing_ids:
        if not _is_int(thing_id, 0, space.num_classes - 1):
            raise LabelError(
                f'thing id {thing_id!r} is not a class id, 0..{space.num_classes - 1}'
            )


def _check_names(names: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise LabelError(
                f'name of class {index} is {name!r}, expected a text '
                '(YAML reads yes, no, on, off and numbers as other types: quote them)'
            )
        # Class names become parts of topic names (occupancy/<class>): only [a-z0-9_] is safe.
        topic_name = re.sub(r'[^a-z0-9]+', '_', name.strip().lower())
        if topic_name in seen:
            first = seen[topic_name]
            fault = 'appears twice' if first == name else f"clashes with '{first}' in topic names"
            raise LabelError(f"class name '{name}' (class {index}) {fault}; choose another")
        seen[topic_name] = name

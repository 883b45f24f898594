# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the ground grids are asked for: their extent, and what is known about each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from seg_perception.errors import UserError

KINDS = ('ground', 'standing', 'hanging', 'ignored')
_MAX_CELLS = 4_000_000


class OccupancyConfigError(UserError, ValueError):
    """A setting of the grids that cannot be used; the message names it."""


@dataclass(frozen=True)
class GridConfig:
    """Extent of a grid on the ground of the base frame; rows go along y, columns along x.

    Cell (row, column) covers x_min + column * resolution onwards and y_min + row * resolution
    onwards: the layout of nav_msgs/OccupancyGrid.
    """

    resolution_m: float = 0.1
    x_min_m: float = 0.0
    x_max_m: float = 40.0
    y_min_m: float = -10.0
    y_max_m: float = 10.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not math.isfinite(value):
                raise OccupancyConfigError(f'grid: {entry.name} is {value}, expected a number')
        if self.resolution_m <= 0.0:
            raise OccupancyConfigError(
                f'grid: resolution_m is {self.resolution_m}, expected more than 0'
            )
        for axis in 'xy':
            low, high = getattr(self, f'{axis}_min_m'), getattr(self, f'{axis}_max_m')
            if not high - low >= self.resolution_m:
                raise OccupancyConfigError(
                    f'grid: {axis} goes from {low} to {high} m, expected {axis}_max_m at least '
                    f'one cell of {self.resolution_m} m above {axis}_min_m'
                )
        if self.rows * self.columns > _MAX_CELLS:
            raise OccupancyConfigError(
                f'grid: {self.rows}x{self.columns} cells, expected at most {_MAX_CELLS}; take a '
                'coarser resolution_m or a smaller extent'
            )

    @property
    def rows(self) -> int:
        """Number of cells along y."""
        return max(1, round((self.y_max_m - self.y_min_m) / self.resolution_m))

    @property
    def columns(self) -> int:
        """Number of cells along x."""
        return max(1, round((self.x_max_m - self.x_min_m) / self.resolution_m))


@dataclass(frozen=True)
class ClassRule:
    """How one class of the mask becomes occupancy.

    Attributes:
        kind: 'ground' fills the cells that it covers; 'standing' occupies where it touches the
            ground; 'hanging' touches it nowhere (a traffic light) and only hides it; 'ignored'
            is nothing that a robot could meet or drive on (sky).
        group: classes that stand as one object (a rider and the motorcycle) share a name.
        depth_m: how far the object reaches behind its visible contact, at least.
        reach_m: how far it may reach behind it; unknown from `depth_m` on.
        overhang_m: how far its body reaches out over its contact, towards the camera.
        widen_m: the same to the sides.
        margin_m: how far around its occupied cells the others are unknown: the body's real size
            is a guess, and a guess must not make a cell free.
        side_m: parts of it that hang in the air (arms, feet on pedals) are at most this far to
            the side of a contact.
        span_m: gaps between two contacts of one object (wheels) are at most this wide to either
            side of a part that hangs between them.
        size_m: width of a small thing that walks: it is placed as a whole, its nearest foot under
            its middle, by the middle of its outline; 0 for all others.
        dynamic: moves by itself; cleared from the fused grid as soon as it is seen through.
        fade_s: time after which the fused evidence has faded to 1/e.
        cost: 0 (free) to 100 (lethal) in the costmap; -1 for unknown.
    """

    kind: str = 'ignored'
    group: str = ''
    depth_m: float = 0.3
    reach_m: float = 0.0
    overhang_m: float = 0.0
    widen_m: float = 0.0
    margin_m: float = 0.0
    side_m: float = 0.0
    span_m: float = 0.0
    size_m: float = 0.0
    dynamic: bool = False
    fade_s: float = 10.0
    cost: int = 100

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OccupancyConfigError(
                f"kind of a class is '{self.kind}', expected one of: {', '.join(KINDS)}"
            )
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name.endswith('_m') and not 0.0 <= value <= 50.0:
                raise OccupancyConfigError(
                    f'{entry.name} of a class is {value}, expected 0 to 50'
                )
        if not self.fade_s > 0.0:
            raise OccupancyConfigError(f'fade_s of a class is {self.fade_s}, expected above 0')
        if not -1 <= self.cost <= 100:
            raise OccupancyConfigError(f'cost of a class is {self.cost}, expected -1 to 100')


def _stand(depth_m: float, margin_m: float = 0.0) -> ClassRule:
    return ClassRule('standing', depth_m=depth_m, margin_m=margin_m, fade_s=20.0)


def _drive(depth_m: float) -> ClassRule:
    # 0.2 m: bumpers reach out over sills and wheels; 1.6 m: half of what is between two axles.
    return ClassRule(
        'standing', 'vehicle', depth_m, overhang_m=0.2, margin_m=0.2, side_m=0.3, span_m=1.6,
        dynamic=True, fade_s=1.5)  # fmt: skip


def _ride(depth_m: float) -> ClassRule:
    # Seen from before or behind, as in a lane, two-wheelers are some 1.8 m deep.
    return ClassRule(
        'standing', 'two-wheeler', depth_m, reach_m=1.8, overhang_m=0.3, widen_m=0.1,
        margin_m=0.2, side_m=0.6, dynamic=True, fade_s=1.0)  # fmt: skip


# For Cityscapes' class names. Depths are the smaller side of usual things of the class: what is
# farther behind is not known, and must not be said to be.
DEFAULT_RULES: dict[str, ClassRule] = {
    'road': ClassRule('ground', fade_s=5.0, cost=0),
    'sidewalk': ClassRule('ground', fade_s=5.0, cost=60),
    'terrain': ClassRule('ground', fade_s=5.0, cost=80),
    'building': _stand(1.0),
    'wall': _stand(0.3),
    'fence': _stand(0.2),
    'pole': _stand(0.2, margin_m=0.1),
    'traffic light': ClassRule('hanging', fade_s=20.0),
    'traffic sign': ClassRule('hanging', fade_s=20.0),
    'vegetation': _stand(0.5, margin_m=0.2),
    'sky': ClassRule('ignored', cost=-1),
    # A stride deep, a pair of feet wide. Which way a walker faces a mask does not tell, so that
    # the body may be 0.3 m (standard deviation) before or behind its nearest foot.
    'person': ClassRule(
        'standing', 'person', 0.6, margin_m=0.3, size_m=0.4, dynamic=True, fade_s=0.7
    ),
    'rider': _ride(1.2),
    'car': _drive(1.6),
    'truck': _drive(2.2),
    'bus': _drive(2.4),
    'train': _drive(2.8),
    'motorcycle': _ride(1.2),
    'bicycle': _ride(1.2),
}


@dataclass(frozen=True)
class OccupancyConfig:
    """Everything that fixes the grids of one camera, but for the camera.

    Attributes:
        class_names: the classes of the mask by id.
        grid: extent on the ground.
        rules: rule by class name; a class without one is 'ignored': it hides what is behind it.
        grid_classes: classes that get a grid of their own, in this order.
        min_confidence: a pixel below it (0..1) is unsure, and what it covers unknown.
        min_coverage: share of a cell that has to be seen for the cell to be known.
    """

    class_names: tuple[str, ...]
    grid: GridConfig = field(default_factory=GridConfig)
    rules: Mapping[str, ClassRule] = field(default_factory=lambda: DEFAULT_RULES)
    grid_classes: tuple[str, ...] = (
        'road', 'sidewalk', 'terrain', 'person', 'rider', 'car', 'pole', 'wall')  # fmt: skip
    min_confidence: float = 0.5
    min_coverage: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= len(self.class_names) <= 127:
            raise OccupancyConfigError(
                f'the mask has {len(self.class_names)} classes, expected 1 to 127'
            )
        for what, names in (('rules', self.rules), ('grid_classes', self.grid_classes)):
            unknown = sorted(set(names) - set(self.class_names))
            if unknown and (what == 'grid_classes' or self.rules is not DEFAULT_RULES):
                raise OccupancyConfigError(
                    f'{what} has {", ".join(unknown)}, but the model has only: '
                    f'{", ".join(self.class_names)}'
                )
        if len(set(self.grid_classes)) != len(self.grid_classes):
            raise OccupancyConfigError(f'grid_classes is {self.grid_classes}, expected no repeats')
        for name in ('min_confidence', 'min_coverage'):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise OccupancyConfigError(f'{name} is {value}, expected above 0, up to 1')

    def find_rule(self, class_id: int) -> ClassRule:
        """Return the rule of a class id."""
        return self.rules.get(self.class_names[class_id], _IGNORED)


_IGNORED = ClassRule()

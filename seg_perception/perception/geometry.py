# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where the camera image lies in the network input, and where each camera pixel reads the logits.

Pixel u covers [u, u + 1) with its centre at u + 0.5: the half-pixel convention, that of PyTorch's
`align_corners=False`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FITS = ('letterbox', 'stretch')


@dataclass(frozen=True)
class Placement:
    """Camera image resized to `resized_*` and put at `pad_*` inside the network input.

    The rest of the network input is padding: 0 after normalisation, the mean colour.
    """

    camera_height_px: int
    camera_width_px: int
    network_height_px: int
    network_width_px: int
    resized_height_px: int
    resized_width_px: int
    pad_top_px: int
    pad_left_px: int

    @property
    def is_identity(self) -> bool:
        """True where the network input is the camera image itself, no resize and no padding."""
        camera = (self.camera_height_px, self.camera_width_px)
        resized = (self.resized_height_px, self.resized_width_px)
        network = (self.network_height_px, self.network_width_px)
        return camera == resized == network


@dataclass(frozen=True)
class SamplingGrid:
    """Affine map from camera pixel indices to logits coordinates.

    Camera pixel (v, u) reads the logits at row `scale_y * v + offset_y`, column
    `scale_x * u + offset_x`, clamped to 0..logits size - 1; integers are logits centres.

    Attributes:
        valid_region_px: (top, left, bottom, right), half open, of the camera pixels that the
            network saw; the others are unlabelled. Default: the whole image.
    """

    camera_height_px: int
    camera_width_px: int
    logits_height: int
    logits_width: int
    scale_x: float
    offset_x: float
    scale_y: float
    offset_y: float
    valid_region_px: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        _require_positive('camera size', (self.camera_height_px, self.camera_width_px))
        _require_positive('logits size', (self.logits_height, self.logits_width))
        if not (self.scale_x > 0 and self.scale_y > 0):
            raise ValueError(
                f'sampling scale is ({self.scale_y}, {self.scale_x}), expected both above 0'
            )
        whole = (0, 0, self.camera_height_px, self.camera_width_px)
        if self.valid_region_px == (0, 0, 0, 0):
            object.__setattr__(self, 'valid_region_px', whole)
        top, left, bottom, right = self.valid_region_px
        if not (0 <= top < bottom <= whole[2] and 0 <= left < right <= whole[3]):
            raise ValueError(
                f'valid region (top, left, bottom, right) is {self.valid_region_px}, expected a '
                f'non-empty part of the camera image {whole}'
            )


def place_image(
    camera_hw: tuple[int, int], network_hw: tuple[int, int], fit: str = 'letterbox'
) -> Placement:
    """Place a camera image in a network input.

    Args:
        camera_hw: (height, width) of the camera image, px.
        network_hw: (height, width) of the network input, px.
        fit: 'letterbox' keeps the aspect ratio and centres the image; 'stretch' fills the input.

    Raises:
        ValueError: a size below 1 or an unknown fit.
    """
    _require_positive('camera size', camera_hw)
    _require_positive('network size', network_hw)
    if fit not in FITS:
        raise ValueError(f"fit is '{fit}', expected one of: {', '.join(FITS)}")
    camera_height, camera_width = camera_hw
    height, width = network_hw
    if fit == 'letterbox':
        # Compared as integers, so that equal aspect ratios never leave one row of padding.
        if network_hw[0] * camera_width <= network_hw[1] * camera_height:
            width = min(width, max(1, round(height * camera_width / camera_height)))
        else:
            height = min(height, max(1, round(width * camera_height / camera_width)))
    return Placement(
        camera_height_px=camera_height,
        camera_width_px=camera_width,
        network_height_px=network_hw[0],
        network_width_px=network_hw[1],
        resized_height_px=height,
        resized_width_px=width,
        pad_top_px=(network_hw[0] - height) // 2,
        pad_left_px=(network_hw[1] - width) // 2,
    )


def compute_logits_size(network_hw: tuple[int, int], stride: int = 8) -> tuple[int, int]:
    """Return the (height, width) of the logits of a network input; odd sizes round up."""
    return (-(-network_hw[0] // stride), -(-network_hw[1] // stride))


def sampling_grid(
    placement: Placement, logits_hw: tuple[int, int], stride: int = 8
) -> SamplingGrid:
    """Return where each camera pixel reads the logits of a placed image.

    The ratio between network and logits is the true one of the two sizes, as in PyTorch's
    `interpolate(size=network, mode='bilinear', align_corners=False)`, also where the network
    size is no multiple of the stride.

    Raises:
        ValueError: the logits do not have the size that the stride gives for this input.
    """
    network_hw = (placement.network_height_px, placement.network_width_px)
    expected = compute_logits_size(network_hw, stride)
    if tuple(logits_hw) != expected:
        raise ValueError(
            f'logits are {logits_hw[0]}x{logits_hw[1]}, expected {expected[0]}x{expected[1]} for '
            f'a network input of {network_hw[0]}x{network_hw[1]} at stride {stride}'
        )
    scale_y, offset_y = _map_axis(
        placement.camera_height_px,
        placement.resized_height_px,
        placement.pad_top_px,
        network_hw[0],
        logits_hw[0],
    )
    scale_x, offset_x = _map_axis(
        placement.camera_width_px,
        placement.resized_width_px,
        placement.pad_left_px,
        network_hw[1],
        logits_hw[1],
    )
    return SamplingGrid(
        camera_height_px=placement.camera_height_px,
        camera_width_px=placement.camera_width_px,
        logits_height=logits_hw[0],
        logits_width=logits_hw[1],
        scale_x=scale_x,
        offset_x=offset_x,
        scale_y=scale_y,
        offset_y=offset_y,
    )


def embed_crop(
    grid: SamplingGrid, camera_hw: tuple[int, int], top_px: int, left_px: int
) -> SamplingGrid:
    """Return the grid of a whole camera image of which the network saw only a crop.

    Args:
        grid: the grid of the crop, as if it were the camera image.
        camera_hw: (height, width) of the whole camera image, px.
        top_px: first row of the crop in the camera image.
        left_px: first column of the crop in the camera image.

    Raises:
        ValueError: the crop reaches beyond the camera image.
    """
    top, left, bottom, right = grid.valid_region_px
    return replace(
        grid,
        camera_height_px=camera_hw[0],
        camera_width_px=camera_hw[1],
        offset_x=grid.offset_x - grid.scale_x * left_px,
        offset_y=grid.offset_y - grid.scale_y * top_px,
        valid_region_px=(top + top_px, left + left_px, bottom + top_px, right + left_px),
    )


def resize_grid(grid: SamplingGrid, output_hw: tuple[int, int]) -> SamplingGrid:
    """Return the grid of an output of another size than the camera image, stretched over it.

    Pixel centres are at whole numbers and edges half a pixel further out, as for an image that
    is resized: output row v' is camera row (v' + 0.5) * H / h - 0.5.

    Raises:
        ValueError: the network saw only a part of the image, or an empty output.
    """
    _require_positive('output size', output_hw)
    camera_hw = (grid.camera_height_px, grid.camera_width_px)
    if grid.valid_region_px != (0, 0, *camera_hw):
        raise ValueError(
            f'the network saw only {grid.valid_region_px} of the image {camera_hw}; an output '
            'of another size wants the whole image'
        )
    scale_y = grid.scale_y * camera_hw[0] / output_hw[0]
    scale_x = grid.scale_x * camera_hw[1] / output_hw[1]
    return replace(
        grid,
        camera_height_px=output_hw[0],
        camera_width_px=output_hw[1],
        scale_x=scale_x,
        offset_x=grid.offset_x + 0.5 * (scale_x - grid.scale_x),
        scale_y=scale_y,
        offset_y=grid.offset_y + 0.5 * (scale_y - grid.scale_y),
        valid_region_px=(0, 0, 0, 0),
    )


def _map_axis(
    camera_px: int, resized_px: int, pad_px: int, network_px: int, logits: int
) -> tuple[float, float]:
    # Camera centre u + 0.5 lies in the network input at (u + 0.5) * resized / camera + pad, and
    # from there to the logits: * logits / network - 0.5. The scale is one division, so that
    # ratios that are exact in binary stay exact.
    scale = resized_px * logits / (camera_px * network_px)
    offset = 0.5 * scale + pad_px * logits / network_px - 0.5
    return scale, offset


def _require_positive(what: str, size_hw: tuple[int, int]) -> None:
    if len(size_hw) != 2 or min(size_hw) < 1:
        raise ValueError(f'{what} (height, width) is {tuple(size_hw)}, expected both at least 1')

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The one chain from a frame to its mask: engine call, then exact decode.

The node, bag evaluation and the command line all call this class, so what is scored offline is
what runs on the robot.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.geometry import resize_grid

if TYPE_CHECKING:
    from seg_perception.engines.engine import Engine
    from seg_perception.perception.frame import Frame


@dataclass(frozen=True)
class SegmentationResult:
    """Products of one frame, at camera resolution.

    Attributes:
        mask: (H, W) uint8 class ids of the model's label space, 255 where unlabelled.
        confidence: (H, W) uint8, probability of the winning class times 255; None when not
            asked for.
        timings_ms: wall time of the stages 'inference' and 'decode'.

    """

    mask: np.ndarray
    confidence: np.ndarray | None
    timings_ms: dict[str, float]


class SegmentationPipeline:
    """Runs an engine and decodes its logits at the size of the camera image.

    Not thread-safe: one pipeline belongs to one worker. Decoders are kept for as many sizes of
    camera and output as the engine keeps compiled, so cameras of several sizes may take turns.
    """

    def __init__(self, engine: Engine) -> None:
        """Keep the engine; nothing is compiled before warm_up() or the first frame."""
        self.engine = engine
        self._decoders: OrderedDict[tuple[tuple[int, int], tuple[int, int]], MaskDecoder] = (
            OrderedDict()
        )

    def warm_up(
        self,
        camera_size_px: tuple[int, int],
        channel_order: str = 'rgb',
        output_size_px: tuple[int, int] | None = None,
    ) -> None:
        """Compile engine and decoder for (height, width) images, so no frame pays for it.

        Masks of another size than the camera's are `output_size_px`.
        """
        height_px, width_px = camera_size_px
        output_hw = output_size_px or camera_size_px
        self.engine.prepare(camera_size_px, channel_order)
        decoder = self._decoder_for(camera_size_px, output_hw)
        decoder.warm_up()
        image = np.zeros((height_px, width_px, 3), np.uint8)
        logits = self.engine.infer(image, channel_order)
        decoder.decode(logits, np.empty(output_hw, np.uint8), np.empty(output_hw, np.uint8))

    def process(
        self,
        frame: Frame,
        mask_out: np.ndarray | None = None,
        confidence_out: np.ndarray | None = None,
    ) -> SegmentationResult:
        """Segment one frame.

        Args:
            frame: the camera image, (H, W, 3) uint8.
            mask_out: (h, w) uint8 buffer for the mask; a new one of the image's size when None.
                One of another size holds the mask stretched to it, sampled at its own pixels.
            confidence_out: buffer of the mask's size; no confidence is computed when None.

        Raises:
            EngineError: the backend failed.
            ValueError: the logits hold NaN or infinity.

        """
        size_px = (frame.image.shape[0], frame.image.shape[1])
        output_hw = size_px if mask_out is None else (mask_out.shape[0], mask_out.shape[1])
        start_s = time.perf_counter()
        logits = self.engine.infer(frame.image, frame.channel_order)
        inferred_s = time.perf_counter()
        decoder = self._decoder_for(size_px, output_hw)
        mask, confidence = decoder.decode(logits, mask_out, confidence_out)
        decoded_s = time.perf_counter()
        timings_ms = {
            'inference': (inferred_s - start_s) * 1e3,
            'decode': (decoded_s - inferred_s) * 1e3,
        }
        return SegmentationResult(mask, confidence, timings_ms)

    def close(self) -> None:
        """Free the engine and its buffers."""
        self._decoders.clear()
        self.engine.close()

    def _decoder_for(
        self, camera_hw: tuple[int, int], output_hw: tuple[int, int]
    ) -> MaskDecoder:
        sizes_px = (camera_hw, output_hw)
        decoder = self._decoders.get(sizes_px)
        if decoder is None:
            grid = self.engine.sampling_grid(camera_hw)
            if output_hw != camera_hw:
                grid = resize_grid(grid, output_hw)
            decoder = MaskDecoder(grid, self.engine.metadata.label_space.num_classes)
            self._decoders[sizes_px] = decoder
            while len(self._decoders) > self.engine.max_sizes:
                self._decoders.popitem(last=False)
        self._decoders.move_to_end(sizes_px)
        return decoder

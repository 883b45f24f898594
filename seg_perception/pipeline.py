# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The one chain from a frame to its mask and its instances: engine call, exact decode, merge.

The node, bag evaluation and the command line all call this class, so what is scored offline is
what runs on the robot.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.followed_instances import InstanceFollower
from seg_perception.perception.geometry import SamplingGrid, resize_grid
from seg_perception.perception.panoptic import Instances, PanopticMerger
from seg_perception.perception.panoptic_reference import MergeConfig

if TYPE_CHECKING:
    from seg_perception.engines.engine import Engine, PanopticArrays
    from seg_perception.perception.frame import Frame
    from seg_perception.perception.tracks import TrackConfig


@dataclass(frozen=True)
class SegmentationResult:
    """Products of one frame, at camera resolution.

    Attributes:
        mask: (H, W) uint8 class ids of the model's label space, 255 where unlabelled.
        confidence: (H, W) uint8, probability of the winning class times 255; None when not
            asked for.
        timings_ms: wall time of the stages 'inference' and 'decode', and where instances are
            asked for 'panoptic' (their merge) and 'tracks'.
        panoptic: (H, W) int32, class * 1000 + instance, -1 void; None when not asked for.
        instances: what has a number in it, with the numbers of tracks where they are followed;
            None when not asked for.

    """

    mask: np.ndarray
    confidence: np.ndarray | None
    timings_ms: dict[str, float]
    panoptic: np.ndarray | None = None
    instances: Instances | None = None


@dataclass(frozen=True)
class Segmented:
    """A frame whose mask is there and whose instances may follow.

    Attributes:
        result: without instances.
        outputs: of the network, valid until its next call; None where only the mask was asked for.
    """

    result: SegmentationResult
    outputs: PanopticArrays | None


@dataclass
class _Stages:
    """What works on images of one size; the merger is made for the first panoptic map."""

    grid: SamplingGrid
    decoder: MaskDecoder
    merger: PanopticMerger | None = None


class SegmentationPipeline:
    """Runs an engine, decodes its logits and merges its instances at the size of the image.

    Not thread-safe: one pipeline belongs to one worker. Decoders are kept for as many sizes of
    camera and output as the engine keeps compiled, so cameras of several sizes may take turns.
    """

    def __init__(
        self,
        engine: Engine,
        merge: MergeConfig | None = None,
        tracks: TrackConfig | None = None,
    ) -> None:
        """Keep the engine; nothing is compiled before warm_up() or the first frame.

        Args:
            engine: the network.
            merge: how a panoptic model's outputs become instances.
            tracks: how instances are followed from frame to frame; None numbers those of each
                frame anew, by falling score.
        """
        self.engine = engine
        self._merge_config = merge or MergeConfig()
        self._track_config = tracks
        self._followers: dict[str, InstanceFollower] = {}
        self._stages: OrderedDict[tuple[tuple[int, int], tuple[int, int]], _Stages] = OrderedDict()

    def warm_up(
        self,
        camera_size_px: tuple[int, int],
        channel_order: str = 'rgb',
        output_size_px: tuple[int, int] | None = None,
        with_panoptic: bool = False,
    ) -> None:
        """Compile engine and decoder for (height, width) images, so no frame pays for it.

        Masks of another size than the camera's are `output_size_px`. With `with_panoptic` merge
        and tracks are compiled too.

        Raises:
            EngineError: the backend failed, or `with_panoptic` of a model without instances.
        """
        height_px, width_px = camera_size_px
        output_hw = output_size_px or camera_size_px
        self.engine.prepare(camera_size_px, channel_order)
        stages = self._find_stages(camera_size_px, output_hw)
        stages.decoder.warm_up()
        image = np.zeros((height_px, width_px, 3), np.uint8)
        if with_panoptic:
            logits = self.engine.infer_panoptic(image, channel_order).logits
            self._find_merger(stages).warm_up()
            if self._track_config is not None:
                InstanceFollower(self._track_config).warm_up()
        else:
            logits = self.engine.infer(image, channel_order)
        stages.decoder.decode(logits, np.empty(output_hw, np.uint8), np.empty(output_hw, np.uint8))

    def process(
        self,
        frame: Frame,
        mask_out: np.ndarray | None = None,
        confidence_out: np.ndarray | None = None,
        panoptic_out: np.ndarray | None = None,
        camera: str = '',
    ) -> SegmentationResult:
        """Segment one frame.

        Args:
            frame: the camera image, (H, W, 3) uint8.
            mask_out: (h, w) uint8 buffer for the mask; a new one of the image's size when None.
                One of another size holds the mask stretched to it, sampled at its own pixels.
            confidence_out: buffer of the mask's size; no confidence is computed when None.
            panoptic_out: int32 buffer of the mask's size; no instances are computed when None.
            camera: whose tracks the instances continue, where they are followed.

        Raises:
            EngineError: the backend failed, or instances are asked of a model without them.
            ValueError: the network's outputs hold NaN or infinity, or a buffer does not fit.

        """
        segmented = self.segment(frame, mask_out, confidence_out, panoptic_out is not None)
        if panoptic_out is None:
            return segmented.result
        return self.add_instances(frame, segmented, panoptic_out, camera)

    def segment(
        self,
        frame: Frame,
        mask_out: np.ndarray | None = None,
        confidence_out: np.ndarray | None = None,
        with_instances: bool = False,
    ) -> Segmented:
        """Take the first part of `process`, to the mask: a node publishes it before the rest.

        Args:
            frame, mask_out, confidence_out: see `process`.
            with_instances: whether `add_instances` comes next.

        Raises:
            EngineError, ValueError: see `process`.
        """
        size_px = (frame.image.shape[0], frame.image.shape[1])
        output_hw = size_px if mask_out is None else (mask_out.shape[0], mask_out.shape[1])
        start_s = time.perf_counter()
        outputs = None
        if with_instances:
            outputs = self.engine.infer_panoptic(frame.image, frame.channel_order)
            logits = outputs.logits
        else:
            logits = self.engine.infer(frame.image, frame.channel_order)
        inferred_s = time.perf_counter()
        stages = self._find_stages(size_px, output_hw)
        mask, confidence = stages.decoder.decode(logits, mask_out, confidence_out)
        decoded_s = time.perf_counter()
        timings_ms = {
            'inference': (inferred_s - start_s) * 1e3,
            'decode': (decoded_s - inferred_s) * 1e3,
        }
        return Segmented(SegmentationResult(mask, confidence, timings_ms), outputs)

    def add_instances(
        self,
        frame: Frame,
        segmented: Segmented,
        panoptic_out: np.ndarray,
        camera: str = '',
    ) -> SegmentationResult:
        """Merge and follow the instances of what `segment` returned for the frame just now.

        Args:
            frame: the same image.
            segmented: valid until the next one is segmented; its mask is unchanged.
            panoptic_out, camera: see `process`.

        Raises:
            ValueError: no instances were asked for, or see `process`.
        """
        outputs, result = segmented.outputs, segmented.result
        if outputs is None:
            raise ValueError('segment() was called without with_instances')
        size_px = (frame.image.shape[0], frame.image.shape[1])
        output_hw = (result.mask.shape[0], result.mask.shape[1])
        start_s = time.perf_counter()
        merger = self._find_merger(self._find_stages(size_px, output_hw))
        merged = merger.merge(result.mask, outputs.center, outputs.offset, panoptic_out)
        merged_s = time.perf_counter()
        timings_ms = {**result.timings_ms, 'panoptic': (merged_s - start_s) * 1e3}
        instances = merged.instances
        if self._track_config is not None:
            follower = self._followers.get(camera)
            if follower is None:
                follower = self._followers[camera] = InstanceFollower(self._track_config)
            instances = follower.follow(merged, frame.stamp_ns)
            timings_ms['tracks'] = (time.perf_counter() - merged_s) * 1e3
        return replace(
            result, timings_ms=timings_ms, panoptic=merged.panoptic, instances=instances
        )

    def forget_tracks(self) -> None:
        """Begin all tracks and their numbers anew, as for another recording."""
        self._followers.clear()

    def close(self) -> None:
        """Free the engine and its buffers."""
        self._stages.clear()
        self._followers.clear()
        self.engine.close()

    def _find_stages(self, camera_hw: tuple[int, int], output_hw: tuple[int, int]) -> _Stages:
        sizes_px = (camera_hw, output_hw)
        stages = self._stages.get(sizes_px)
        if stages is None:
            grid = self.engine.sampling_grid(camera_hw)
            if output_hw != camera_hw:
                grid = resize_grid(grid, output_hw)
            decoder = MaskDecoder(grid, self.engine.metadata.label_space.num_classes)
            stages = self._stages[sizes_px] = _Stages(grid, decoder)
            while len(self._stages) > self.engine.max_sizes:
                self._stages.popitem(last=False)
        self._stages.move_to_end(sizes_px)
        return stages

    def _find_merger(self, stages: _Stages) -> PanopticMerger:
        if stages.merger is None:
            metadata = self.engine.metadata
            space = metadata.label_space
            stages.merger = PanopticMerger(
                stages.grid, metadata.stride, space.num_classes, space.thing_ids,
                self._merge_config)  # fmt: skip
        return stages.merger

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The chain from a frame to its panoptic map, with a real panoptic model."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.engines.contract import EngineError
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.perception.frame import Frame
from seg_perception.perception.panoptic_reference import MergeConfig, merge_panoptic
from seg_perception.perception.tracks import TrackConfig
from seg_perception.pipeline import SegmentationPipeline

CAMERA_HW = (96, 160)


@pytest.fixture(scope='module')
def engine(tiny_panoptic_model):
    loaded = load_engine(EngineConfig(str(tiny_panoptic_model), 'openvino', 'f32'))
    yield loaded
    loaded.close()


@pytest.fixture(scope='module')
def pipeline(engine):
    return SegmentationPipeline(engine)


def make_frame(seed=1, stamp_ns=0):
    colours = np.random.default_rng(seed).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    image = np.ascontiguousarray(colours.repeat(16, axis=0).repeat(16, axis=1))
    return Frame(image, 'rgb', stamp_ns, 'camera', None)


def process(pipeline, frame, hw=CAMERA_HW, **options):
    return pipeline.process(
        frame, np.empty(hw, np.uint8), panoptic_out=np.empty(hw, np.int32), **options
    )


@pytest.mark.parametrize('hw', [CAMERA_HW, (48, 70)])
def test_map_is_that_of_the_reference_merge_at_any_size(pipeline, engine, hw):
    frame = make_frame()
    result = process(pipeline, frame, hw)
    outputs = engine.infer_panoptic(frame.image)
    space = engine.metadata.label_space
    grid = pipeline._find_stages(CAMERA_HW, hw).grid
    expected = merge_panoptic(
        result.mask, outputs.center, outputs.offset, grid, engine.metadata.stride,
        space.thing_ids, MergeConfig())  # fmt: skip
    np.testing.assert_array_equal(result.panoptic, expected.ids)
    assert result.instances.area_px.tolist() == [item.area_px for item in expected.instances]
    assert len(result.instances.score) > 10
    assert set(result.timings_ms) == {'inference', 'decode', 'panoptic'}


def test_one_call_of_the_network_gives_mask_confidence_and_map(pipeline, engine, monkeypatch):
    calls = []
    run = engine._run
    monkeypatch.setattr(engine, '_run', lambda *a: calls.append(a) or run(*a))
    frame = make_frame()
    confidence = np.empty(CAMERA_HW, np.uint8)
    result = pipeline.process(frame, None, confidence, np.empty(CAMERA_HW, np.int32))
    assert len(calls) == 1
    alone = pipeline.process(frame, None, np.empty(CAMERA_HW, np.uint8))
    np.testing.assert_array_equal(result.mask, alone.mask)
    np.testing.assert_array_equal(result.confidence, alone.confidence)


def test_the_mask_is_there_before_the_instances_and_stays(pipeline):
    frame, mask = make_frame(), np.empty(CAMERA_HW, np.uint8)
    segmented = pipeline.segment(frame, mask, with_instances=True)
    assert segmented.result.panoptic is None and segmented.result.mask is mask
    early = mask.copy()
    result = pipeline.add_instances(frame, segmented, np.empty(CAMERA_HW, np.int32))
    whole = process(pipeline, frame)
    np.testing.assert_array_equal(mask, early)
    np.testing.assert_array_equal(result.panoptic, whole.panoptic)
    np.testing.assert_array_equal(result.mask, whole.mask)
    assert set(result.timings_ms) == set(whole.timings_ms)


def test_instances_of_a_call_for_the_mask_alone_are_refused(pipeline):
    segmented = pipeline.segment(make_frame())
    with pytest.raises(ValueError, match='without with_instances'):
        pipeline.add_instances(make_frame(), segmented, np.empty(CAMERA_HW, np.int32))


def test_without_a_buffer_nothing_of_it_is_computed(engine, monkeypatch):
    def refuse(*arguments):
        raise AssertionError('computed')

    monkeypatch.setattr('seg_perception.pipeline.PanopticMerger', refuse)
    monkeypatch.setattr(engine, 'infer_panoptic', refuse)
    chain = SegmentationPipeline(engine, tracks=TrackConfig())
    chain.warm_up(CAMERA_HW)
    result = chain.process(make_frame())
    assert result.panoptic is None and result.instances is None
    assert set(result.timings_ms) == {'inference', 'decode'}


def test_a_semantic_model_has_no_instances(tiny_model):
    chain = SegmentationPipeline(load_engine(EngineConfig(str(tiny_model), 'openvino', 'f32')))
    with pytest.raises(EngineError, match='returns logits alone, instances need logits, center'):
        process(chain, make_frame())
    with pytest.raises(EngineError, match='returns logits alone'):
        chain.warm_up(CAMERA_HW, with_panoptic=True)
    chain.close()


def test_a_buffer_of_another_size_is_refused(pipeline):
    with pytest.raises(ValueError, match=r'panoptic_out is int32 of shape \(5, 5\), expected'):
        pipeline.process(make_frame(), panoptic_out=np.empty((5, 5), np.int32))


def test_each_camera_has_its_own_tracks(engine):
    chain = SegmentationPipeline(engine, tracks=TrackConfig())
    chain.warm_up(CAMERA_HW, with_panoptic=True)
    left, right = make_frame(1), make_frame(5)
    first = process(chain, left, camera='left')
    for _ in range(2):
        other = process(chain, right, camera='right')
        again = process(chain, left, camera='left')
    np.testing.assert_array_equal(again.panoptic, first.panoptic)
    np.testing.assert_array_equal(again.instances.instance_id, first.instances.instance_id)
    assert set(again.timings_ms) == {'inference', 'decode', 'panoptic', 'tracks'}
    chain.forget_tracks()
    np.testing.assert_array_equal(process(chain, right, camera='left').panoptic, other.panoptic)


def test_no_centre_leaves_things_void_and_no_instance(engine):
    chain = SegmentationPipeline(engine, MergeConfig(center_threshold=1e6), TrackConfig())
    result = process(chain, make_frame())
    is_thing = np.isin(result.mask, engine.metadata.label_space.thing_ids)
    assert is_thing.any() and not len(result.instances.score)
    assert (result.panoptic[is_thing] == -1).all()
    assert (result.panoptic[~is_thing] % 1000 == 0).any()


def test_more_centres_than_numbers_give_the_best_999(tiny_panoptic_model, monkeypatch):
    engine = load_engine(
        EngineConfig(str(tiny_panoptic_model), 'openvino', 'f32', height_px=256, width_px=512)
    )
    frame = make_frame()
    outputs = engine.infer_panoptic(frame.image)
    centers = np.zeros_like(outputs.center)
    centers[::2, ::2] = np.random.default_rng(1).uniform(0.2, 1, centers[::2, ::2].shape)
    assert (centers > 0).sum() >= 2000
    still = np.zeros_like(outputs.offset)
    monkeypatch.setattr(
        engine, 'infer_panoptic', lambda *a: outputs._replace(center=centers, offset=still)
    )
    chain = SegmentationPipeline(engine, MergeConfig(top_k=999), TrackConfig())
    result = process(chain, frame, (256, 512))
    assert 500 < len(result.instances.score) <= 999
    assert result.instances.score.min() >= np.sort(centers.ravel())[-999]
    assert result.instances.instance_id.max() <= 999
    engine.close()

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A labelled copy holds the recording as it was, and the masks that evaluation would see."""

import os

import numpy as np
import pytest
from bag_variants import write_bag
from recordings import START_NS
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_perception.cli import main
from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_images import BagImages
from seg_perception.evaluation.bags.bag_label import LabelConfig, label_bag
from seg_perception.evaluation.bags.bag_messages import get_message_store, make_image
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.label_truth import open_truth
from seg_perception.evaluation.bags.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
    MASK_TOPIC,
)
from seg_perception.perception.labels import load_label_space

CITYSCAPES = load_label_space('cityscapes')
SIZE = (64, 96)


def write_street(path, storage='mcap', frames=3, damaged=()):
    """Write images of one class each, with CamVid labels, transforms, and an unknown type."""
    store = get_message_store()
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        writer.set_custom_data(LABEL_SPACE_KEY, 'camvid')
        images = writer.add_connection(IMAGE_TOPIC, IMAGE_TYPE, typestore=store)
        labels = writer.add_connection(LABEL_TOPIC, IMAGE_TYPE, typestore=store)
        odd = writer.add_connection(
            '/odd', 'odd_msgs/msg/Odd', msgdef='no such: grammar [', rihs01='RIHS01_' + '0' * 64
        )
        for index in range(frames):
            stamp_ns = START_NS + index
            pixels = np.empty((*SIZE, 3), np.uint8)
            pixels[:] = CITYSCAPES.palette[index]
            message = make_image(pixels, 'rgb8', stamp_ns, 'front')
            if index in damaged:
                message.step = 3
            writer.write(images, stamp_ns + 500, store.serialize_cdr(message, IMAGE_TYPE))
            label = make_image(np.full(SIZE, 3, np.uint8), 'mono8', stamp_ns, 'front')
            writer.write(labels, stamp_ns + 900, store.serialize_cdr(label, IMAGE_TYPE))
            writer.write(odd, stamp_ns + 950, b'\x00\x01\x00\x00abcd')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_masks_are_added_and_the_rest_stays(tmp_path, pipeline, storage):
    write_street(tmp_path / 'bag', storage)
    result = label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'))
    assert (result.image_topic, result.mask_count, result.bad_count) == (IMAGE_TOPIC, 3, 0)
    with BagReader(tmp_path / 'bag') as before, BagReader(tmp_path / 'out') as after:
        assert after.storage_name == storage
        old = list(before.iterate_raw_messages())
        new = list(after.iterate_raw_messages())
        assert [raw for raw in new if raw.topic != MASK_TOPIC] == old
        assert find_image_topic(after) == IMAGE_TOPIC
        masks = list(after.iterate_messages([MASK_TOPIC]))
        images = list(after.iterate_messages([IMAGE_TOPIC]))
        definitions = {c.msgtype: c.msgdef for c in after.connections}
        assert definitions['odd_msgs/msg/Odd'].data.strip() == 'no such: grammar ['
    for index, (mask, image) in enumerate(zip(masks, images, strict=True)):
        assert mask.message.header == image.message.header
        assert mask.log_time_ns == image.log_time_ns
        assert (mask.message.height, mask.message.width) == SIZE
        assert mask.message.encoding == 'mono8'
        assert set(mask.message.data.tolist()) == {index}
    assert sorted(os.listdir(tmp_path)) == ['bag', 'out']


def test_masks_keep_their_own_label_space(tmp_path, pipeline):
    write_street(tmp_path / 'bag')
    label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'))
    truth = open_truth(tmp_path / 'out')
    masks = open_truth(tmp_path / 'out', MASK_TOPIC)
    assert (truth.label_space.name, masks.label_space.name) == ('camvid', 'cityscapes')
    assert masks.label_space == CITYSCAPES
    truth.close()
    masks.close()


def test_images_that_cannot_be_read_have_no_mask(tmp_path, pipeline):
    write_street(tmp_path / 'bag', damaged=(1,))
    result = label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'))
    assert (result.mask_count, result.bad_count, len(result.reasons)) == (2, 1, 1)
    masks = BagImages(tmp_path / 'out', MASK_TOPIC)
    assert START_NS + 1 not in masks
    assert START_NS + 2 in masks
    masks.close()


def test_truncated_bag_is_labelled_up_to_the_damage(tmp_path, pipeline):
    write_bag(tmp_path / 'bag', frames=8)
    file = tmp_path / 'bag' / 'bag.mcap'
    os.truncate(file, file.stat().st_size // 2)
    result = label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'))
    assert result.mask_count == 4
    assert 'bag.mcap: it ends at byte' in result.damage
    with BagReader(tmp_path / 'out') as reader:
        assert reader.damage == ''
        assert reader.count_messages(MASK_TOPIC) == 4


def test_humble_bag_without_definitions_is_labelled(tmp_path, pipeline):
    write_bag(tmp_path / 'bag', storage='sqlite3', distribution='humble', frames=2)
    label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'))
    with BagReader(tmp_path / 'out') as reader:
        assert reader.count_messages(MASK_TOPIC) == 2
        assert 'uint32 height' in reader.connections[0].msgdef.data


def test_interrupted_run_leaves_nothing(tmp_path, pipeline):
    write_street(tmp_path / 'bag')

    def interrupt(items, total):
        for number, item in enumerate(items):
            if number == 4:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        label_bag(pipeline, LabelConfig(tmp_path / 'bag', tmp_path / 'out'), interrupt)
    assert os.listdir(tmp_path) == ['bag']


def test_what_cannot_be_labelled_is_said(tmp_path, pipeline):
    write_street(tmp_path / 'bag')
    bag, out = tmp_path / 'bag', tmp_path / 'out'
    with pytest.raises(UserError, match='is the bag to be labelled'):
        LabelConfig(bag, tmp_path / 'x' / '..' / 'bag')
    with pytest.raises(UserError, match="topic 'mask' is not possible"):
        LabelConfig(bag, out, mask_topic='mask')
    with pytest.raises(UserError, match='has a topic /odd already; choose another with --topic'):
        label_bag(pipeline, LabelConfig(bag, out, mask_topic='/odd'))
    with BagWriter(tmp_path / 'empty') as writer:
        writer.add_topic('/a', IMAGE_TYPE)
    with pytest.raises(UserError, match='no camera images'):
        label_bag(pipeline, LabelConfig(tmp_path / 'empty', out))
    assert not out.exists()


def test_command_labels_and_info_shows_it(tmp_path, model_path, capsys):
    write_street(tmp_path / 'bag')
    arguments = ['bag', 'label', str(tmp_path / 'bag'), str(tmp_path / 'out')]
    assert main([*arguments, '--model', str(model_path), '--backend', 'openvino']) == 0
    assert '3 masks' in capsys.readouterr().out
    assert main(['bag', 'info', str(tmp_path / 'out')]) == 0
    text = capsys.readouterr().out
    assert '/segnext/mask, cityscapes, color.onnx' in text
    assert '64x96 mono8' in text
    assert main([*arguments, '--model', str(model_path)]) == 2
    assert 'exists already' in capsys.readouterr().err

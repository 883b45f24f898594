# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A miniature in the layout of Cityscapes becomes a drive with truth, calibration and odometry."""

import json

import cv2
import numpy as np
import pytest

from seg_perception.cli import main
from seg_perception.errors import UserError
from seg_perception.evaluation.bags import cityscapes
from seg_perception.evaluation.bags.bag_images import BagImages
from seg_perception.evaluation.bags.bag_messages import stamp_to_ns
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.camera_geometry import find_transform, read_static_transforms
from seg_perception.evaluation.bags.cityscapes_recording import DeadReckoning, write_cityscapes_bag
from seg_perception.evaluation.bags.label_truth import open_truth
from seg_perception.evaluation.bags.topics import (
    BASE_FRAME,
    CAMERA_FRAME,
    CAMERA_INFO_TOPIC,
    COMPRESSED_IMAGE_TOPIC,
    INSTANCES_TRACKED_KEY,
    LABEL_TOPIC,
    ODOMETRY_TOPIC,
    PANOPTIC_TOPIC,
    STATIC_TF_TOPIC,
    TF_TOPIC,
)
from seg_perception.evaluation.metrics.panoptic_quality import crowd_id
from seg_perception.evaluation.metrics.score import BagTruth
from seg_perception.perception.labels import load_label_space

SIZE = (16, 32)
START_NS = 1_700_000_000 * 10**9
SPEED_MPS, YAW_RATE_RADPS = 8.0, 0.3
# values of a real calibration's order, with every angle well away from zero
CAMERA = {
    'extrinsic': {
        'baseline': 0.21, 'pitch': 0.038, 'roll': 0.02, 'x': 1.7, 'y': 0.1, 'yaw': -0.0195,
        'z': 1.22,
    },
    'intrinsic': {'fx': 2262.52, 'fy': 2265.3, 'u0': 1096.98, 'v0': 513.137},
}  # fmt: skip
# class ids: car 26, road 7, car group, unlabelled 0
IDS = np.repeat(np.array([26, 7, 26, 0], np.uint8), 8)[None].repeat(16, axis=0)
INSTANCES = np.repeat(np.array([26000, 7, 26, 0], np.uint16), 8)[None].repeat(16, axis=0)


def put(root, kind, city, stem, ending, content):
    """Write one file of the data set."""
    folder = root / kind / 'val' / city
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{stem}{ending}'
    if isinstance(content, np.ndarray):
        cv2.imwrite(str(path), content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def make_image_of(number):
    """Return a picture that tells the number of its frame."""
    return np.full((*SIZE, 3), number % 250, np.uint8)


@pytest.fixture
def root(tmp_path):
    """Two snippets of one sequence of ulm and one of another, and one of bonn."""
    root = tmp_path / 'cityscapes'
    for city, sequence, labelled in (
        ('ulm', 0, 19), ('ulm', 0, 119), ('ulm', 1, 19), ('bonn', 0, 19),
    ):  # fmt: skip
        stem = f'{city}_{sequence:06d}_{labelled:06d}'
        put(root, 'leftImg8bit', city, stem, '_leftImg8bit.png', make_image_of(labelled))
        put(root, 'gtFine', city, stem, '_gtFine_labelIds.png', IDS)
        put(root, 'gtFine', city, stem, '_gtFine_instanceIds.png', INSTANCES)
        put(root, 'camera', city, stem, '_camera.json', CAMERA)
        motion = {'speed': SPEED_MPS, 'yawRate': YAW_RATE_RADPS, 'gpsHeading': 281.7}
        put(root, 'vehicle', city, stem, '_vehicle.json', motion)
        for number in range(labelled - 19, labelled + 11):
            name = f'{city}_{sequence:06d}_{number:06d}'
            image = make_image_of(number)
            put(root, 'leftImg8bit_sequence', city, name, '_leftImg8bit.png', image)
            put(root, 'vehicle_sequence', city, name, '_vehicle.json', motion)
    return root


def record(root, out, **options):
    """Record the miniature; returns messages by topic."""
    config = cityscapes.CityscapesConfig(root, 'val', **options)
    write_cityscapes_bag(out, config)
    with BagReader(out) as reader:
        messages = {topic.name: [] for topic in reader.topics}
        for item in reader.iterate_messages(list(messages)):
            messages[item.topic].append(item.message)
    return messages


def read_stamps(messages):
    """Return the stamps of messages, ns."""
    return [stamp_to_ns(message.header.stamp) for message in messages]


def test_labelled_frames_of_a_city(root, tmp_path):
    messages = record(root, tmp_path / 'bag', cities=('ulm',))
    counts = {topic: len(items) for topic, items in messages.items()}
    assert counts == {
        COMPRESSED_IMAGE_TOPIC: 3,
        LABEL_TOPIC: 3,
        PANOPTIC_TOPIC: 3,
        CAMERA_INFO_TOPIC: 3,
        ODOMETRY_TOPIC: 3,
        TF_TOPIC: 3,
        STATIC_TF_TOPIC: 1,
    }
    first, second, third = read_stamps(messages[COMPRESSED_IMAGE_TOPIC])
    assert first == START_NS + round(19e9 / 17)
    # frames 19 and 119 of one sequence, then 10 frames, 2 s and 19 frames of the next
    assert second - first == pytest.approx(100e9 / 17, abs=2)
    assert third - second == pytest.approx(29e9 / 17 + 2e9, abs=4)


def test_sequences_have_truth_on_their_20th_frame(root, tmp_path):
    messages = record(root, tmp_path / 'bag', cities=('ulm',), sequence=True)
    images = messages[COMPRESSED_IMAGE_TOPIC]
    assert len(images) == 90
    stamps = read_stamps(images)
    assert np.diff(stamps[:30]) == pytest.approx(np.full(29, 1e9 / 17), abs=2)
    assert read_stamps(messages[LABEL_TOPIC]) == [stamps[19], stamps[49], stamps[79]]
    single = record(root, tmp_path / 'single', cities=('ulm',))
    assert read_stamps(single[LABEL_TOPIC]) == read_stamps(messages[LABEL_TOPIC])
    numbers = [cv2.imdecode(image.data, cv2.IMREAD_COLOR)[0, 0, 0] for image in images]
    assert numbers == [*range(30), *range(100, 130), *range(30)]


def test_labels_become_train_ids_and_instances_count_from_one(root, tmp_path):
    record(root, tmp_path / 'bag', cities=('bonn',))
    truth = BagTruth(tmp_path / 'bag')
    panoptic = BagImages(tmp_path / 'bag', PANOPTIC_TOPIC)
    stamp_ns = START_NS + round(19e9 / 17)
    assert truth.label_space == load_label_space('cityscapes')
    assert truth.read(stamp_ns)[0, ::8].tolist() == [13, 0, 13, 255]
    assert panoptic.read(stamp_ns)[0, ::8].tolist() == [13001, 0, -2 - 13, -1]
    truth.close()
    panoptic.close()


def test_instances_are_recorded_as_numbered_image_by_image(root, tmp_path):
    record(root, tmp_path / 'bag', cities=('bonn',))
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.custom_data[INSTANCES_TRACKED_KEY] == 'false'


def test_random_instances_become_the_segments_of_the_official_conversion(tmp_path):
    official = pytest.importorskip('cityscapesscripts.preparation.createPanopticImgs')
    random = np.random.default_rng(0)
    classes = random.integers(0, 34, 60)
    # half of what has instances is told apart; the rest are groups
    numbered = classes * 1000 + random.integers(0, 40, 60)
    has_instances = np.isin(classes, [i for i, label in official.id2label.items()
                                      if label.hasInstances])  # fmt: skip
    ids = np.where(has_instances & (random.random(60) < 0.5), numbered, classes)
    image = ids[random.integers(0, 60, (40, 50))].astype(np.uint16)
    put(tmp_path, 'gtFine', 'ulm', 'ulm_000000_000019', '_gtFine_instanceIds.png', image)
    (tmp_path / 'out').mkdir()
    official.convert2panoptic(str(tmp_path / 'gtFine'), str(tmp_path / 'out'), True, ['val'])
    content = json.loads((tmp_path / 'out' / 'cityscapes_panoptic_val_trainId.json').read_text())
    segments = content['annotations'][0]['segments_info']
    panoptic = cityscapes.convert_instance_ids(image, load_label_space('cityscapes'))
    expected = np.full(image.shape, cityscapes.VOID)
    for segment in segments:
        class_id, number = segment['category_id'], segment['id'] % 1000 + 1
        number = number if segment['id'] >= 1000 else 0
        ours = crowd_id(class_id) if segment['iscrowd'] else class_id * 1000 + number
        expected[image == segment['id']] = ours
    assert (panoptic == expected).all()
    assert len(np.unique(panoptic[panoptic >= 0])) > 10 and (panoptic == -1).any()
    assert len(np.unique(panoptic[panoptic < -1])) >= 3


def test_timestamps_place_the_frames_around_the_labelled_one(root, tmp_path):
    stem = 'bonn_000000_0000{:02d}'
    for number in range(30):
        time = str(number * 60_000_000 + number % 3)
        put(root, 'timestamp_sequence', 'bonn', stem.format(number), '_timestamp.txt', time)
    messages = record(root, tmp_path / 'bag', cities=('bonn',), sequence=True)
    stamps = read_stamps(messages[COMPRESSED_IMAGE_TOPIC])
    label_ns = START_NS + round(19e9 / 17)
    assert stamps[19] == label_ns
    assert stamps[0] == label_ns - 19 * 60_000_000 - 1
    assert stamps[20] - stamps[19] == 60_000_001
    put(root, 'timestamp_sequence', 'bonn', stem.format(7), '_timestamp.txt', '0')
    with pytest.raises(UserError, match='timestamp of bonn_000000_000007 is not after'):
        record(root, tmp_path / 'back', cities=('bonn',), sequence=True)
    put(root, 'timestamp_sequence', 'bonn', stem.format(7), '_timestamp.txt', 'soon')
    with pytest.raises(UserError, match="says 'soon'; expected a time in ns"):
        record(root, tmp_path / 'back', cities=('bonn',), sequence=True)


def test_points_project_as_in_cityscapesscripts(root, tmp_path):
    """The data set's own tool projects a box; ours must fall on the same pixels."""
    module = pytest.importorskip('cityscapesscripts.helpers.box3dImageTransform')
    config = cityscapes.CityscapesConfig(root, 'val')
    camera = cityscapes.read_camera(config, cityscapes.FrameName('ulm', 0, 19))
    extrinsic = CAMERA['extrinsic']
    sensor_from_vehicle = np.eye(4)
    rotation = cv2_rotation(extrinsic['yaw'], extrinsic['pitch'], extrinsic['roll'])
    sensor_from_vehicle[:3, :3] = rotation.T
    sensor_from_vehicle[:3, 3] = -rotation.T @ [extrinsic[axis] for axis in 'xyz']
    theirs = module.Camera(**CAMERA['intrinsic'], sensor_T_ISO_8855=sensor_from_vehicle[:3])
    box = module.Box3dImageTransform(theirs)
    box.initialize_box((4.0, 1.8, 1.5), (1, 0, 0, 0), (20.0, -3.0, 0.75), module.CRS_V)
    corners = np.asarray(list(box.get_vertices(module.CRS_V).values()), dtype=np.float64)
    expected = np.asarray(list(box.get_vertices_2d().values()), dtype=np.float64)
    in_camera = np.linalg.inv(camera.base_from_camera) @ np.c_[corners, np.ones(8)].T
    pixels = camera.camera_matrix @ in_camera[:3]
    assert np.abs((pixels[:2] / pixels[2]).T - expected).max() < 1e-6


def cv2_rotation(yaw, pitch, roll):
    """Return Rz(yaw) Ry(pitch) Rx(roll) from axis and angle by OpenCV."""
    angles = ((0.0, 0.0, yaw), (0.0, pitch, 0.0), (roll, 0.0, 0.0))
    about_z, about_y, about_x = (cv2.Rodrigues(np.array(angle))[0] for angle in angles)
    return about_z @ about_y @ about_x


def test_calibration_and_static_transform(root, tmp_path):
    messages = record(root, tmp_path / 'bag', cities=('ulm',))
    info = messages[CAMERA_INFO_TOPIC][0]
    assert (info.height, info.width) == SIZE
    # the calibration is for 1024x2048
    assert info.k.reshape(3, 3)[0] == pytest.approx([2262.52 / 64, 0, 1096.98 / 64])
    assert info.k.reshape(3, 3)[1] == pytest.approx([0, 2265.3 / 64, 513.137 / 64])
    with BagReader(tmp_path / 'bag') as reader:
        base_from_camera = find_transform(read_static_transforms(reader), BASE_FRAME, CAMERA_FRAME)
    assert base_from_camera[:3, 3] == pytest.approx([1.7, 0.1, 1.22])
    forward, down = base_from_camera[:3, 2], base_from_camera[:3, 1]
    # positive pitch turns x to the ground, negative yaw to the right
    assert forward == pytest.approx(
        [np.cos(0.038) * np.cos(0.0195), -np.cos(0.038) * np.sin(0.0195), -np.sin(0.038)]
    )
    assert down[2] < -0.99


def test_odometry_drives_a_circle_within_a_snippet_and_stays_between(root, tmp_path):
    messages = record(root, tmp_path / 'bag', cities=('ulm',), sequence=True)
    odometry = messages[ODOMETRY_TOPIC]
    assert len(odometry) == 90
    radius_m = SPEED_MPS / YAW_RATE_RADPS
    for index in (1, 10, 29):
        turn = YAW_RATE_RADPS * (read_stamps(odometry)[index] - START_NS) * 1e-9
        position = odometry[index].pose.pose.position
        expected = [radius_m * np.sin(turn), radius_m * (1 - np.cos(turn))]
        assert [position.x, position.y] == pytest.approx(expected, abs=1e-6)
        yaw = 2 * np.arctan2(
            odometry[index].pose.pose.orientation.z, odometry[index].pose.pose.orientation.w
        )
        assert yaw == pytest.approx(turn, abs=1e-6)
    assert odometry[30].pose.pose.position == odometry[29].pose.pose.position
    twist = odometry[5].twist.twist
    assert (twist.linear.x, twist.angular.z) == (SPEED_MPS, YAW_RATE_RADPS)
    transform = messages[TF_TOPIC][10].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ('odom', 'base_link')
    assert transform.transform.translation.x == odometry[10].pose.pose.position.x


def test_straight_way_is_speed_times_time():
    reckoning = DeadReckoning()
    reckoning.advance(0, 2.0, 0.0)
    pose = reckoning.advance(100_000_000, 4.0, 0.0)
    assert pose[:3, 3] == pytest.approx([0.3, 0.0, 0.0])


def test_labels_in_a_folder_match_by_name(root, tmp_path):
    record(root, tmp_path / 'bag', cities=('ulm',), sequence=True)
    truth = open_truth(tmp_path / 'bag', labels_folder=root / 'gtFine')
    recorded = BagTruth(tmp_path / 'bag')
    assert len(truth) == len(recorded) == 3
    stamp_ns = START_NS + round(119e9 / 17)
    assert np.array_equal(truth.read(stamp_ns), recorded.read(stamp_ns))
    recorded.close()


def test_command_records_what_is_there(root, tmp_path, capsys):
    out = str(tmp_path / 'bag')
    assert main(['bag', 'from-cityscapes', str(root), out, '--city', 'ulm', 'bonn']) == 0
    text = capsys.readouterr().out
    assert '4 images, 4 labels, 4 with calibration, 4 with odometry' in text
    assert main(['bag', 'info', out]) == 0
    assert 'Cityscapes val bonn+ulm' in capsys.readouterr().out
    for folder in ('camera', 'vehicle', 'vehicle_sequence', 'gtFine'):
        (root / folder).rename(root / f'{folder}_away')
    assert main(['bag', 'from-cityscapes', str(root), out, '--overwrite']) == 0
    assert '4 images, 0 labels, 0 with calibration, 0 with odom' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--split', 'train'], 'no folder leftImg8bit/train or gtFine/train'),
        (['--city', 'rome'], 'has no city rome; its cities: bonn, ulm'),
    ],
)
def test_missing_parts_are_named(root, tmp_path, capsys, arguments, message):
    assert main(['bag', 'from-cityscapes', str(root), str(tmp_path / 'bag'), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'bag').exists()


def test_damaged_files_are_named(root, tmp_path):
    stem = 'bonn_000000_000019'
    put(root, 'camera', 'bonn', stem, '_camera.json', {'intrinsic': {'fx': 'far'}})
    with pytest.raises(UserError, match="camera.json: intrinsic.fx is 'far', expected a number"):
        record(root, tmp_path / 'bag', cities=('bonn',))
    put(root, 'camera', 'bonn', stem, '_camera.json', '{')
    with pytest.raises(UserError, match='cannot read .*camera.json'):
        record(root, tmp_path / 'bag', cities=('bonn',))
    put(root, 'camera', 'bonn', stem, '_camera.json', CAMERA)
    put(root, 'gtFine', 'bonn', stem, '_gtFine_labelIds.png', IDS[:8])
    with pytest.raises(UserError, match='labelIds.png is 8x32 but its image is 16x32'):
        record(root, tmp_path / 'bag', cities=('bonn',))
    assert not (tmp_path / 'bag').exists()


def test_camvid_has_its_layout_and_label_space(tmp_path, capsys):
    for index in range(2):
        for kind, pixels in (
            ('images', make_image_of(index)), ('labels', np.full(SIZE, 11, np.uint8)),
        ):  # fmt: skip
            (tmp_path / 'camvid' / 'val' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'camvid' / 'val' / kind / f'{index}.png'), pixels)
    arguments = ['bag', 'from-camvid', str(tmp_path / 'camvid'), str(tmp_path / 'bag')]
    assert main(arguments) == 0
    assert '2 images, labels: camvid' in capsys.readouterr().out
    truth = BagTruth(tmp_path / 'bag')
    assert truth.label_space.name == 'camvid'
    assert (truth.read(START_NS) == 255).all()
    truth.close()
    assert main([*arguments, '--split', 'mars', '--overwrite']) == 2
    assert 'no image folder at' in capsys.readouterr().err

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Cards are whole, every shipped one is true, and faults are named with their place."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import yaml

from seg_perception.engines.contract import (
    PANOPTIC_OUTPUTS,
    SEMANTIC_OUTPUTS,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import (
    CARD_FILE,
    MODEL_FILE,
    CardInput,
    CardNetwork,
    ModelCard,
    is_model_name,
    list_disagreements,
    load_card,
    write_card,
)
from seg_perception.model_zoo.describe import describe_card
from seg_perception.model_zoo.verify import check_model
from seg_perception.networks.registry import build_network
from seg_perception.perception.labels import load_label_space
from seg_perception.resources import find_share_directory
from seg_perception.yaml_config import parse_dataclass

SHARE = find_share_directory()
SHIPPED = sorted(path.parent for path in (SHARE / 'models').glob(f'*/{MODEL_FILE}'))
CONTENT = yaml.safe_load("""
name: example
summary: For tests.
network: {name: segnext, variant: t, rank: 16, parameters: 4229747}
label_space: cityscapes
classes: 19
input: {height_px: 64, width_px: 128, fit: letterbox}
files:
  model.onnx: {sha256: 861359b7d59f99a4e932108aefdba932bb0f56aa736ecfd510f64f24d897b515}
data:
  - {name: CamVid, images: 367 at 480x360, labels: 11 classes, terms: none, citation: Brostow}
licence: {word: non-commercial, notes: as the data}
recipe: {config: a.yaml, hardware: a desk, wall_time_minutes: 95, iterations: 9, seeds: [0, 1]}
main_score: camvid
scores:
  camvid: {value: 0.519, measured_on: CamVid val, cityscapes_teacher: false}
  drive: {value: 0.4, measured_on: a drive, cityscapes_teacher: true}
calibration: {temperature: 1.5, ece_before: 0.1, ece_after: 0.02, measured_on: CamVid val}
speed:
  - {what: one frame, machine: a desk, ms: 218}
limits: It is an example.
""")


@pytest.fixture(params=SHIPPED, ids=lambda folder: folder.name)
def shipped(request) -> Path:
    return request.param


def test_shipped_files_have_the_hashes_of_their_card_and_agree_with_it(shipped):
    assert check_model(shipped) == []


def test_shipped_card_speaks_of_all_files_beside_it(shipped):
    names = {path.name for path in shipped.iterdir()}
    assert names == {CARD_FILE, *load_card(shipped).files}


def test_shipped_label_space_is_that_of_the_package(shipped):
    card = load_card(shipped)
    stored = load_model_file(shipped / MODEL_FILE).metadata
    assert stored.label_space == load_label_space(card.label_space)
    assert stored.label_space.num_classes == card.classes


def test_shipped_model_file_has_the_name_of_its_folder(shipped):
    assert load_model_file(shipped / MODEL_FILE).metadata.name == shipped.name


def test_shipped_parameters_are_those_of_the_network(shipped):
    card = load_card(shipped)
    options = dict(load_model_file(shipped / MODEL_FILE).metadata.network)
    network = build_network(options.pop('name'), options.pop('variant'), card.classes, **options)
    assert sum(weight.numel() for weight in network.parameters()) == card.network.parameters


def test_shipped_card_has_data_scores_and_a_recipe_that_is_there(shipped):
    card = load_card(shipped)
    assert card.data
    assert card.main_score in card.scores
    assert card.recipe is not None
    assert (SHARE / card.recipe.config).is_file()


def test_shown_card_leaves_nothing_out(shipped):
    card = load_card(shipped)
    shown = ' '.join(describe_card(card, shipped).split())
    for text in list_texts(dataclasses.asdict(card)):
        assert ' '.join(text.split()) in shown


def list_texts(value) -> list[str]:
    """Return all texts in nested dictionaries, without keys and hashes."""
    if isinstance(value, dict):
        return [text for key, v in value.items() if key != 'sha256' for text in list_texts(v)]
    if isinstance(value, list | tuple):
        return [text for v in value for text in list_texts(v)]
    return [value] if isinstance(value, str) else []


def test_written_card_reads_the_same(tmp_path):
    card = parse_dataclass(ModelCard, CONTENT, '')
    folder = tmp_path / card.name
    path = write_card(card, folder)
    assert path == folder / CARD_FILE
    assert load_card(folder) == card


def write_changed(tmp_path: Path, place: tuple, value: object) -> Path:
    """Write the example's card with one value changed, or removed where it is ...; its folder."""
    content = copy.deepcopy(CONTENT)
    target = content
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    folder = tmp_path / CONTENT['name']
    folder.mkdir()
    (folder / CARD_FILE).write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('licence',), ..., "key 'licence' is missing"),
        (('data', 0, 'terms'), ..., "key 'data[0].terms' is missing"),
        (('licens',), 'free', "unknown key 'licens'"),
        (('speed', 0, True), 'a desk', "unknown key 'speed[0].True'"),
        (('classes',), '19', "'classes' is '19', expected int"),
        (('network', 'rank'), 0, "'network': rank is 0"),
        (('network', 'parameters'), 4.2, "'network.parameters' is 4.2, expected int"),
        (('files', 'model.onnx', 'sha256'), 'abc', "'files.model.onnx': sha256 is 'abc'"),
        (('files', 'model.onnx'), ..., "'files' lists [], expected model.onnx as well"),
        (('files', '../x'), {'sha256': 'a' * 64}, "'files' lists '../x', expected plain names"),
        (('licence', 'word'), 'a ' * 20, "'licence': word is"),
        (('scores', 'drive', 'value'), 56.9, 'expected a share from 0 to 1'),
        (('scores', 'x'), 0.5, 'scores.x is float, expected a mapping'),
        (('scores', 'drive', 'cityscapes_teacher'), 1, 'expected bool'),
        (('main_score',), 'best', "'main_score' is 'best', expected one of the scores: camvid"),
        (('calibration',), {'temperature': 1.5}, "key 'calibration.ece_before' is missing"),
        (('recipe', 'seeds'), 7, "'recipe.seeds' is 7, expected a list"),
        (('speed', 0, 'ms'), -1, "'speed[0]': ms is -1.0, expected a number above 0"),
        (('name',), 'other', "'name' is 'other', expected the folder's name"),
        (('name',), 'a/b', "'name' is 'a/b', expected letters"),
    ],
)
def test_faults_are_named_with_file_and_key(tmp_path, place, value, message):
    folder = write_changed(tmp_path, place, value)
    with pytest.raises(UserError) as error:
        load_card(folder)
    assert message in str(error.value)
    assert str(folder / CARD_FILE) in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('key', ['calibration', 'recipe'])
def test_calibration_and_recipe_may_be_unknown(tmp_path, key):
    folder = write_changed(tmp_path, (key,), None)
    card = load_card(folder)
    assert getattr(card, key) is None
    assert describe_card(card, folder)


def test_models_without_scores_have_no_main_score(tmp_path):
    folder = write_changed(tmp_path, ('scores',), {})
    with pytest.raises(
        UserError, match="'main_score' is 'camvid', expected one of the scores: no"
    ):
        load_card(folder)


def test_score_with_knowledge_from_a_teacher_is_marked(tmp_path):
    card = parse_dataclass(ModelCard, CONTENT, '')
    lines = describe_card(card, tmp_path).splitlines()
    marks = ['teacher' in line for line in lines if ' 0.519 ' in line or ' 0.400 ' in line]
    assert marks == [False, True]


PANOPTIC = yaml.safe_load("""
  - {pq: 0.612, sq: 0.78, rq: 0.75, pq_per_class: {car: 0.66, person: 0.31},
     id_switches_per_100: 2.5, measured_on: unseen street, cityscapes_teacher: false}
""")


def make_panoptic_card(**changes) -> ModelCard:
    """Return the example's card as that of a panoptic model."""
    network = {'name': 'axial_deeplab', 'variant': 'nano', 'rank': 0, 'parameters': 724566}
    content = {**CONTENT, 'network': network, 'calibration': None, 'panoptic': PANOPTIC}
    return parse_dataclass(ModelCard, content | changes, '')


PANOPTIC_METADATA = ModelMetadata(
    load_label_space('cityscapes'),
    InputContract(64, 128),
    network={'name': 'axial_deeplab', 'variant': 'nano', 'stem': 'conv', 'span_px': 63},
    stride=4,
    outputs=PANOPTIC_OUTPUTS,
)


def test_card_of_a_panoptic_model_is_written_shown_and_agrees_with_its_file(tmp_path):
    card = make_panoptic_card()
    folder = tmp_path / card.name
    write_card(card, folder)
    assert load_card(folder) == card
    assert list_disagreements(card, PANOPTIC_METADATA) == []
    # a fresh export has no scores yet
    assert list_disagreements(make_panoptic_card(panoptic=[]), PANOPTIC_METADATA) == []
    shown = ' '.join(describe_card(card, folder).split())
    assert (
        'instances PQ 0.612 (SQ 0.780, RQ 0.750); PQ of car 0.660, person 0.310; '
        '2.50 ID switches per 100: unseen street'
    ) in shown


def test_scores_of_instances_that_a_file_cannot_have_are_found():
    semantic = dataclasses.replace(PANOPTIC_METADATA, outputs=SEMANTIC_OUTPUTS)
    (line,) = list_disagreements(make_panoptic_card(), semantic)
    assert line == "'panoptic' has scores of instances, but model.onnx gives classes alone"
    unknown = [PANOPTIC[0] | {'pq_per_class': {'tram': 0.5}}]
    (line,) = list_disagreements(make_panoptic_card(panoptic=unknown), PANOPTIC_METADATA)
    assert line == "'panoptic[0].pq_per_class' has 'tram', which is no class of model.onnx"


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('pq', 61.2, "'panoptic[0]': pq is 61.2, expected a share from 0 to 1, not per cent"),
        ('pq_per_class', {'car': 66}, 'pq_per_class.car is 66.0, expected a share'),
        ('pq_per_class', [0.5], "'panoptic[0].pq_per_class' is [0.5], expected a mapping"),
        ('id_switches_per_100', -1, 'id_switches_per_100 is -1.0, expected 0 to 100'),
        ('measured_on', ..., "key 'panoptic[0].measured_on' is missing"),
        ('cars', 0.5, "unknown key 'panoptic[0].cars'"),
    ],
)
def test_faulty_scores_of_instances_are_named(key, value, message):
    scores = {k: v for k, v in (PANOPTIC[0] | {key: value}).items() if v is not ...}
    with pytest.raises(UserError) as error:
        make_panoptic_card(panoptic=[scores])
    assert message in str(error.value)


def test_card_that_says_otherwise_than_the_model_file_is_found():
    metadata = ModelMetadata(
        load_label_space('cityscapes'),
        InputContract(64, 128),
        network={'name': 'segnext', 'variant': 't', 'rank': 16},
        temperature=1.50004,  # a card has three decimals
    )
    card = parse_dataclass(ModelCard, CONTENT, '')
    assert list_disagreements(card, metadata) == []
    other = dataclasses.replace(
        card,
        classes=11,
        label_space='camvid',
        network=CardNetwork('segnext', 'b', 16, 1),
        input=CardInput(512, 64, 'stretch'),
        calibration=None,
    )
    keys = [
        line.partition("'")[2].partition("'")[0] for line in list_disagreements(other, metadata)
    ]
    sizes = ['input.height_px', 'input.width_px', 'input.fit']
    assert keys == ['network', 'label_space', 'classes', *sizes, 'calibration.temperature']


@pytest.mark.parametrize('name', ['', '.hidden', '-x', 'a b', 'a/b', '..', 'model.onnx'])
def test_names_that_would_be_paths_or_options_are_refused(name):
    assert not is_model_name(name)

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The catalogue names the published files as they are published."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path

import pytest
import yaml

from seg_perception.cli import build_parser
from seg_perception.errors import UserError
from seg_perception.model_zoo.catalogue import load_catalogue
from seg_perception.networks.registry import NETWORKS
from seg_perception.perception.labels import load_label_space
from seg_perception.yaml_config import ConfigError

CATALOGUE = load_catalogue()
ENTRIES = {entry.name: entry for entry in CATALOGUE.checkpoints}
CONTENT = {
    'terms': {'free': {'word': 'Apache-2.0', 'notes': 'all'}},
    'checkpoints': [
        {
            'name': 'net',
            'kind': 'encoder',
            'summary': 'an encoder',
            'variant': 't',
            'url': 'https://example.com/net.pth',
            'file': 'net.pth',
            'terms': 'free',
        }
    ],
}


def test_all_variants_are_there_for_every_data_set():
    expected = {
        name
        for v in NETWORKS['segnext'].variants
        for name in (f'segnext_{v}_cityscapes', f'segnext_{v}_ade20k', f'mscan_{v}_imagenet')
    }
    assert set(ENTRIES) == expected


@pytest.mark.parametrize('name', ENTRIES)
def test_openmmlab_names_end_in_the_hash(name):
    entry = ENTRIES[name]
    assert entry.url.startswith('https://')
    if name.endswith('_cityscapes'):
        assert entry.sha256 == ''  # shares of the authors, without a hash
    else:
        assert entry.url.endswith(f'/{entry.file}')
        assert Path(entry.file).stem.rpartition('-')[2] == entry.sha256
        assert f'_{entry.variant}_' in entry.file or f'-{entry.variant}_' in entry.file


@pytest.mark.parametrize('name', [n for n, entry in ENTRIES.items() if entry.kind == 'network'])
def test_printed_export_command_is_one_and_fits_the_labels(name, tmp_path):
    entry = ENTRIES[name]
    path = tmp_path / 'a folder' / entry.file
    command = entry.describe_use(path).splitlines()[-1]
    arguments = build_parser().parse_args(shlex.split(command)[1:])
    assert (arguments.command, arguments.checkpoint, arguments.name) == ('export', path, name)
    assert (arguments.variant, arguments.rank) == (entry.variant, entry.rank)
    assert load_label_space(arguments.labels).num_classes == entry.classes


def test_encoder_says_how_to_train_from_it(tmp_path):
    entry = ENTRIES['mscan_s_imagenet']
    settings = yaml.safe_load(entry.describe_use(tmp_path / 'a.pth').splitlines()[-1])
    assert settings == {'network': {'variant': 's', 'encoder_weights': f'{tmp_path}/a.pth'}}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match='no checkpoint named x to fetch; there are segnext_t_ci'):
        CATALOGUE.find('x')


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('url', 'http://example.com/net.pth', 'expected https://'),
        ('url', 'ftp://example.com/net.pth', 'expected https://'),
        ('url', 'file:///etc/passwd', 'expected https://'),
        ('url', 'https://', 'expected https://'),
        ('file', '../net.pth', "file is '../net.pth', expected the plain name"),
        ('sha256', 'abc', 'expected its first 8 to 64 digits'),
        ('kind', 'decoder', "kind is 'decoder', expected one of network, encoder"),
        ('kind', 'network', "a network's rank, classes, height_px, width_px are (0, 0, 0, 0)"),
        ('terms', 'secret', "has the terms 'secret', expected one of free"),
        ('name', 'a/b', "name is 'a/b'"),
        ('colour', 'red', "unknown key 'checkpoints[0].colour'"),
    ],
)
def test_faults_are_named_with_file_and_place(tmp_path, key, value, message):
    content = copy.deepcopy(CONTENT)
    path = tmp_path / 'catalogue.yaml'
    path.write_text(yaml.safe_dump(content))
    load_catalogue(path)
    content['checkpoints'][0][key] = value
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as error:
        load_catalogue(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_names_are_there_once(tmp_path):
    path = tmp_path / 'catalogue.yaml'
    path.write_text(yaml.safe_dump({**CONTENT, 'checkpoints': CONTENT['checkpoints'] * 2}))
    with pytest.raises(ConfigError, match="'checkpoints' has the name 'net' twice"):
        load_catalogue(path)

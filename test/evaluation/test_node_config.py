# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameter file says how a recording is evaluated, too."""

from pathlib import Path

import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.node_config import list_engine_arguments, read_node_parameters

SHIPPED = Path(__file__).resolve().parents[2] / 'config' / 'segnext.yaml'


def test_the_shipped_file_asks_for_the_defaults():
    arguments = list_engine_arguments(read_node_parameters(SHIPPED))
    assert arguments == {
        'model': '', 'backend': 'auto', 'precision': 'auto', 'threads': 0, 'fit': ''
    }  # fmt: skip


def test_nested_and_dotted_parameters_of_the_node_are_read(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    model: {path: a, backend: torch}\n'
        'segnext:\n  ros__parameters:\n    model.path: b\n'
        '    input: {height: 256, width: 512, fit: stretch}\n'
        'other_node:\n  ros__parameters: {model.path: c}\n'
    )
    assert list_engine_arguments(read_node_parameters(path)) == {
        'model': 'b', 'backend': 'torch', 'fit': 'stretch', 'input_size': (256, 512)
    }  # fmt: skip


@pytest.mark.parametrize(
    ('content', 'expected'),
    [('a: [', 'is no YAML file'), ('a: 1', 'has no ros__parameters'), ('', 'has no ros__')],
)
def test_files_of_something_else_are_named(tmp_path, content, expected):
    path = tmp_path / 'mine.yaml'
    path.write_text(content)
    with pytest.raises(UserError, match=expected):
        read_node_parameters(path)
    with pytest.raises(UserError, match='cannot read'):
        read_node_parameters(tmp_path / 'none.yaml')

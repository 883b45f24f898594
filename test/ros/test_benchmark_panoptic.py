# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception benchmark` of a panoptic model, for real, and what is made of its rounds."""

import json

import pytest

from seg_perception.cli import main
from seg_perception.evaluation.benchmarks.benchmark_samples import CameraReport, Round
from seg_perception.ros.benchmark_panoptic import summarize_panoptic


def test_ratio_is_that_of_the_medians_and_of_each_round():
    rounds = []
    for panoptic_ms, bare_ms in (([10.0, 12.0, 50.0], [8.0, 8.0]), ([11.0, 13.0], [10.0])):
        node = {'panoptic p50 (ms)': '2.50'}
        report = CameraReport([9.0], 4, 3, 10.0, 10.0, None, None, None, node, panoptic_ms)
        rounds.append(Round(report, bare_ms))
    figures, by_round = summarize_panoptic(rounds)
    assert figures['panoptic_e2e_p50_ms'] == 12.0 and figures['panoptic_bare_p50_ms'] == 8.0
    assert figures['panoptic_e2e_vs_bare'] == 1.5
    assert by_round['panoptic_e2e_vs_bare'] == [1.5, 1.2]
    assert figures['node_panoptic_p50_ms'] == 2.5


def test_a_panoptic_model_adds_its_figures(tmp_path, tiny_panoptic_model, capsys):
    path = tmp_path / 'new.json'
    arguments = ['benchmark', str(tiny_panoptic_model), '--size', '64x128', '--rounds', '1']
    assert main([*arguments, '--frames', '6', '--parts', 'panoptic', '--json', str(path)]) == 0
    figures = json.loads(path.read_text(encoding='utf-8'))
    assert figures['panoptic_e2e_vs_bare'] == pytest.approx(
        figures['panoptic_e2e_p50_ms'] / figures['panoptic_bare_p50_ms']
    )
    assert 0 < figures['node_panoptic_p50_ms'] < figures['panoptic_e2e_p50_ms']
    assert figures['panoptic_merge_ms'] > 0
    assert 'merge of 60 instances at 1024x2048' in capsys.readouterr().out

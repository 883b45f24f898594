# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception benchmark`, for real: a node, a camera process, figures, picture, comparison."""

import json
import os

import cv2
import numpy as np
import pytest

from seg_perception.cli import main
from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_comparison import load_figures
from seg_perception.ros.benchmark_camera import CameraTask, run_camera, start_camera


@pytest.fixture(scope='module')
def old_run(tmp_path_factory, tiny_model):
    """Return the figures of a run that no machine can reach."""
    path = tmp_path_factory.mktemp('benchmark') / 'old.json'
    figures = {
        'benchmark_format': 1,
        'size': '64x128',
        'camera': '64x128',
        'model': tiny_model.name,
        'e2e_p50_ms': 1e-3,
        'bare_p50_ms': 1e-3,
        'e2e_vs_bare': 0.01,
        'rounds': {},
        'machine': {},
    }
    path.write_text(json.dumps(figures), encoding='utf-8')
    return path


def test_one_run_gives_figures_picture_table_and_comparison(
    tmp_path, tiny_model, old_run, capsys
):
    json_path, plot_path = tmp_path / 'new.json', tmp_path / 'new.png'
    arguments = ['benchmark', str(tiny_model), '--size', '64x128', '--rounds', '1']
    arguments += ['--frames', '6', '--eager-frames', '1']
    arguments += ['--parts', 'eager,fps,overload,cuda,cameras']
    arguments += ['--json', str(json_path), '--plot', str(plot_path), '--compare', str(old_run)]
    exit_code = main(arguments)
    output = capsys.readouterr().out
    figures = load_figures(json_path)
    assert figures['published'] == 6
    assert figures['received'] >= 5
    assert figures['e2e_p50_ms'] > figures['node_inference_p50_ms'] > 0
    assert figures['e2e_vs_bare'] == pytest.approx(figures['e2e_p50_ms'] / figures['bare_p50_ms'])
    assert figures['cameras4_vs_1'] == pytest.approx(
        figures['cameras_set_p50_ms'] / figures['cameras_one_p50_ms']
    )
    assert 0.0 < figures['cameras_share_least'] <= 1.0 <= figures['cameras_share_most']
    for name in ('eager_vs_e2e', 'fps', 'cpu_ms_per_mask', 'rss_mb', 'overload_age_p95_ms'):
        assert figures[name] > 0, name
    assert figures['overload_published'] == 24
    assert figures['machine']['libraries']['openvino']
    assert ('cuda_engine' in figures) != any('on CUDA' in note for note in figures['notes'])
    assert cv2.imread(str(plot_path)) is not None
    assert 'camera message to mask message' in output
    assert 'regression: e2e_vs_bare 0.01 -> ' in output
    assert exit_code == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--size', '128x256', '--compare', 'OLD'], 'size 64x128 instead of 128x256'),
        (['--size', '64x128', '--compare', 'none.json'], 'cannot read none.json'),
        (['--plot', 'plot.svg'], 'plot.svg is no picture file name'),
        (['--json', 'no_folder/new.json'], 'there is no folder'),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(
    arguments, message, tiny_model, old_run, capsys
):
    given = [str(old_run) if argument == 'OLD' else argument for argument in arguments]
    assert main(['benchmark', str(tiny_model), *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith('error: ')
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    'arguments', [['--parts', 'speed'], ['--rounds', '0'], ['--size', 'big'], ['--frames', '-3']]
)
def test_bad_arguments_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(['benchmark', *arguments])
    assert end.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_a_camera_process_that_fails_is_quoted():
    task = CameraTask('/nowhere/image', '/nowhere/segnext', images='no_such_file.npy')
    with pytest.raises(UserError, match='no_such_file.npy does not exist'):
        run_camera(task, timeout_s=60)


def test_a_lone_camera_ends_with_its_block(tmp_path):
    path = tmp_path / 'images.npy'
    np.save(path, np.zeros((1, 8, 8, 3), np.uint8))
    task = CameraTask('/lone/image', '/lone/segnext', str(path), rate_hz=50.0, pace='alone')
    with start_camera(task) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'ready\n'
        assert process.poll() is None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)

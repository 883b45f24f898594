# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Sweeps: which parameters may be swept, which point is the best, files that are kept."""

import json

import numpy as np
import pytest
from color_model import write_color_model
from recordings import START_NS, write_labelled_bag

from seg_perception import cli
from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import IMAGE_TYPE
from seg_perception.evaluation.drives.node_config import read_node_parameters
from seg_perception.evaluation.drives.sweep import (
    Choice,
    SweepPoint,
    list_pareto,
    list_points,
    parse_choice,
    parse_sweep,
)
from seg_perception.evaluation.drives.sweep_plot import PICTURE_HW, draw_sweep
from seg_perception.perception.labels import load_label_space

SWEEP = {'input.scale': [0.5, 1.0], 'model.precision': ['bf16', 'f32']}


def accept(name, value):
    return ''


def make_points(*figures):
    """Return points of these latencies in ms and mean IoUs."""
    return [
        SweepPoint({'model.threads': index}, {}, miou, latency_ms)
        for index, (latency_ms, miou) in enumerate(figures)
    ]


FIGURES = ((10.0, 0.5), (20.0, 0.69), (30.0, 0.68), (40.0, 0.7), (90.0, 0.72), (95.0, 0.71))


def test_all_combinations_are_points_and_scale_becomes_a_size():
    points = list_points(SWEEP, {'input.fit': 'stretch'}, lambda model: (384, 768), accept)
    assert [dict(point.swept) for point in points] == [
        {'input.scale': scale, 'model.precision': precision}
        for scale in (0.5, 1.0)
        for precision in ('bf16', 'f32')
    ]
    assert dict(points[1].parameters) == {
        'input.fit': 'stretch', 'model.precision': 'f32', 'input.height': 192, 'input.width': 384
    }  # fmt: skip
    assert points[1].name == 'scale=0.5 precision=f32'


@pytest.mark.parametrize(
    ('scale', 'size_px'), [(0.3, (128, 224)), (0.05, (32, 32)), (1.7, (640, 1312))]
)
def test_scaled_sizes_are_in_steps_of_32_px(scale, size_px):
    (point,) = list_points({'input.scale': [scale]}, {}, lambda model: (384, 768), accept)
    assert (point.parameters['input.height'], point.parameters['input.width']) == size_px


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        ([], 'nothing to sweep'),
        (['input.height'], 'expected NAME=VALUE'),
        (['input.height='], 'expected NAME=VALUE'),
        (['input.fit=letterbox', 'input.fit=stretch'], 'given twice'),
        (['input.height=1,1'], 'a value is there twice'),
        (['input.scale=1', 'input.height=384'], 'give it or them'),
        (['output.overlay=true'], 'it changes what is published, not the masks'),
        (['panoptic.outlines=true'], 'what is published, not the instances'),
        (['model.path=*.onnx,b'], 'no YAML scalar; put it in quotes'),
        (['occupancy.min_confidence=0.1'], 'what is made of the masks'),
        (['confidence.threshold=0.1'], 'cannot be swept; parameters that decide'),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_reason(texts, message):
    with pytest.raises(UserError, match=message):
        parse_sweep(texts)


def test_values_are_read_as_in_a_parameter_file():
    sweep = parse_sweep(['model.threads=1,2', 'model.precision=f32', 'input.scale=0.5,1'])
    assert sweep == {'model.threads': [1, 2], 'model.precision': ['f32'], 'input.scale': [0.5, 1]}


@pytest.mark.parametrize('value', ['x', True, 0.0, 9, -1.0, float('nan')])
def test_a_scale_out_of_range_is_named(value):
    with pytest.raises(UserError, match=r'input.scale: expected a number'):
        list_points({'input.scale': [value]}, {}, lambda model: (64, 96), accept)


def test_pareto_front_has_the_points_that_none_beats():
    points = make_points(*FIGURES)
    assert list_pareto(points[::-1]) == [points[0], points[1], points[3], points[4]]


@pytest.mark.parametrize(
    ('choice', 'expected'),
    [
        (Choice(min_score=0.68), 1),
        (Choice(min_score=0.7), 3),
        (Choice(max_latency_ms=60.0), 3),
        (Choice(max_latency_ms=20.0), 1),
        (Choice(min_score=0.6, max_latency_ms=60.0), 1),
        (Choice(), 1),
    ],
)
def test_best_point(choice, expected):
    points = make_points(*FIGURES)
    assert choice.choose(points) == points[expected]


def test_knee_of_two_points_is_the_more_accurate():
    points = make_points((10.0, 0.5), (20.0, 0.6))
    assert Choice().choose(points) == points[1]


@pytest.mark.parametrize('choice', [Choice(min_score=0.9), Choice(max_latency_ms=5.0)])
def test_a_demand_that_no_point_meets_is_refused(choice):
    with pytest.raises(UserError, match='the fastest 0.5000 at 10.0 ms'):
        choice.choose(make_points(*FIGURES))


@pytest.mark.parametrize('demand', ['0.7', 'miou>0.7', 'miou>=7', 'rq>=0.1'])
def test_other_demands_are_refused(demand):
    with pytest.raises(UserError, match='expected miou>=SHARE'):
        parse_choice(demand, None)


@pytest.mark.parametrize(
    ('demand', 'parameters', 'expected'),
    [
        ('pq>=0.4', [], Choice(0.4, None, 'pq')),
        ('', ['panoptic.top_k'], Choice(None, None, 'pq')),
        ('miou>=0.7', ['panoptic.top_k'], Choice(0.7, None, 'miou')),
        ('', ['input.scale'], Choice()),
    ],
)
def test_points_are_ranked_by_panoptic_quality_where_instances_are_swept(
    demand, parameters, expected
):
    assert parse_choice(demand, None, parameters) == expected


def test_front_and_choice_by_panoptic_quality():
    points = [
        SweepPoint({'a': i}, {}, miou, 10.0 * i, pq, ranked_by='pq')
        for i, (miou, pq) in enumerate([(0.7, 0.3), (0.6, 0.4), (0.8, None)])
    ]
    assert list_pareto(points) == points[:2]
    assert Choice(0.35, None, 'pq').choose(points) is points[1]
    with pytest.raises(UserError, match='has panoptic quality 0.4000 at 10.0 ms'):
        Choice(0.5, None, 'pq').choose(points)


@pytest.mark.parametrize('figures', [FIGURES, FIGURES[:1], ((5.0, 0.5), (5.0, 0.5))])
def test_plot_shows_the_best_point_in_green(figures):
    points = make_points(*figures)
    picture = draw_sweep([*points, SweepPoint({'a': 1}, {}, reason='no')], points[0], 'title')
    assert picture.shape == (*PICTURE_HW, 3)
    assert (picture == (110, 190, 90)).all(axis=2).sum() > 150


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A small model and a labelled bag."""
    folder = tmp_path_factory.mktemp('sweep')
    write_color_model(folder / 'color.onnx', load_label_space('cityscapes'))
    write_labelled_bag(folder / 'bag', 3, height_px=64, width_px=96)
    return folder


def sweep_command(folder, *options):
    bag, model = str(folder / 'bag'), str(folder / 'color.onnx')
    return cli.main(['sweep', bag, '--model', model, '--out', str(folder / 'out'), *options])


def test_command_writes_table_plot_and_a_parameter_file_that_evaluates(folder, capsys):
    options = ('--param', 'input.scale=1,2', '--param', 'model.precision=f32')
    assert sweep_command(folder, *options, '--max-latency-ms', '1e6') == 0
    assert 'scale=2 precision=f32' in capsys.readouterr().out
    out = folder / 'out'
    written = json.loads((out / 'sweep.json').read_text())
    assert [point['parameters']['input.width'] for point in written['points']] == [96, 192]
    assert (out / 'sweep.png').exists()
    parameters = read_node_parameters(out / 'best.yaml')
    assert parameters == written['best']['parameters']
    assert parameters['model.path'] == str(folder / 'color.onnx')
    score = folder / 'score.json'
    command = ['evaluate', str(folder / 'bag'), '--config', str(out / 'best.yaml')]
    assert cli.main([*command, '--metrics', 'iou', '--json', str(score)]) == 0
    assert json.loads(score.read_text())['miou'] == written['best']['miou']


def test_points_that_are_there_are_not_done_again(folder):
    out = folder / 'again'
    options = ('--param', 'input.scale=1,2', '--out', str(out))
    assert sweep_command(folder, *options) == 0
    first, second = sorted((out / 'points').iterdir())
    second.unlink()
    kept = first.stat().st_mtime_ns
    assert sweep_command(folder, *options) == 0
    assert sorted((out / 'points').iterdir()) == [first, second]
    assert first.stat().st_mtime_ns == kept
    # other images, another result
    assert sweep_command(folder, *options, '--limit', '2') == 0
    assert len(list((out / 'points').iterdir())) == 4


def test_a_point_that_cannot_run_is_told_of_and_the_others_are_measured(folder, capsys):
    options = ('--param', 'model.path=COLOR,nowhere'.replace('COLOR', str(folder / 'color.onnx')),)
    assert sweep_command(folder, *options) == 1
    assert 'path=nowhere: no model named nowhere' in capsys.readouterr().out


def test_a_point_without_one_of_the_recordings_is_not_compared(folder, capsys):
    with BagWriter(folder / 'two_cameras') as writer:
        for topic in ('/left/image', '/right/image'):
            writer.add_topic(topic, IMAGE_TYPE)
            image = make_image(np.zeros((64, 96, 3), np.uint8), 'rgb8', START_NS, 'camera')
            writer.write(topic, image, START_NS)
    bags = [str(folder / name) for name in ('bag', 'two_cameras')]
    out = folder / 'partial'
    model = str(folder / 'color.onnx')
    command = ['sweep', *bags, '--model', model, '--out', str(out), '--param', 'input.scale=1']
    assert cli.main(command) == 2
    assert 'two_cameras has several cameras' in capsys.readouterr().err
    assert not list(out.glob('points/*.json'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--param', 'input.scale=1', '--metrics', 'ece'), 'must have iou'),
        (('--param', 'input.scale=1', '--max-latency-ms', '0'), 'latency of 0.0 ms'),
        (('--param', 'input.scale=1', '--choose', 'miou>=1'), 'no point meets that'),
    ],
)
def test_command_says_what_is_wrong(folder, capsys, options, message):
    assert sweep_command(folder, *options) == 2
    assert message in capsys.readouterr().err


def test_missing_bag_is_named_before_anything_runs(folder, capsys):
    assert cli.main(['sweep', 'nowhere', '--param', 'input.scale=1']) == 2
    assert 'no bag at nowhere' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['input.height=0.5', 'model.precision=f64', 'model.threads=-1'])
def test_values_that_the_node_refuses_are_refused(folder, capsys, text):
    pytest.importorskip('rclpy')
    assert sweep_command(folder, '--param', text) == 2
    assert f'{text.partition("=")[0]}: expected' in capsys.readouterr().err

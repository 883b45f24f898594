# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Figures are percentiles over all frames, and each has its medians by round."""

import json

import numpy as np
import pytest
from benchmark_runs import BARE_MS, STAGE_MS, make_figures, make_report, make_round, make_run

from seg_perception.evaluation.benchmarks.benchmark_figures import (
    STAGES,
    summarize_overload,
    summarize_rounds,
    summarize_stages,
    summarize_subscribers,
    summarize_turns,
)
from seg_perception.evaluation.benchmarks.benchmark_samples import Round
from seg_perception.evaluation.benchmarks.benchmark_table import format_benchmark

# What other programs read, as the first benchmarks of this package wrote it, and what came since.
KEYS = [
    'size',
    'engine',
    'camera_rate_hz',
    'published',
    'received',
    'e2e_p50_ms',
    'e2e_p95_ms',
    'bare_p50_ms',
    'e2e_vs_bare',
    'eager_p50_ms',
    'eager_vs_e2e',
    'node_total_p50_ms',
    'node_inference_p50_ms',
    'node_decode_p50_ms',
    'fps',
    'cpu_percent',
    'rss_mb',
    'overload_age_p95_vs_inference',
]


def test_percentiles_are_of_all_frames_and_medians_of_each_round():
    rounds = [make_round(100.0, 90.0, 600.0), make_round(120.0, 90.0, 660.0)]
    figures, by_round = summarize_rounds(rounds)
    times_ms = [99.0, 100.0, 101.0, 119.0, 120.0, 121.0]
    for percent in (50, 95, 99):
        assert figures[f'e2e_p{percent}_ms'] == np.percentile(times_ms, percent)
    assert by_round['e2e_p50_ms'] == [100.0, 120.0]
    assert figures['e2e_vs_bare'] == pytest.approx(110.0 / 90.0)
    assert by_round['eager_vs_e2e'] == pytest.approx([6.0, 5.5])
    assert (figures['published'], figures['received']) == (8, 6)


def test_a_suffix_keeps_two_cameras_apart():
    figures, by_round = summarize_rounds([make_round(100.0, 90.0, 600.0)], '_camera_1024x2048')
    assert all(name.endswith('_camera_1024x2048') for name in (*figures, *by_round))
    assert figures['eager_vs_e2e_camera_1024x2048'] == pytest.approx(6.0)


def test_without_pytorch_its_figures_are_absent():
    figures, _ = summarize_rounds([Round(make_report([100.0]), [90.0])])
    assert figures['e2e_vs_bare'] == pytest.approx(100.0 / 90.0)
    assert not [name for name in figures if 'eager' in name]


def test_stages_and_transport_add_up_to_the_way_of_a_frame():
    figures, by_round = summarize_stages([make_round(100.0, BARE_MS, 600.0)])
    for stage, time_ms in STAGE_MS.items():
        assert figures[f'node_{stage}_p50_ms'] == time_ms
        assert figures[f'node_{stage}_p99_ms'] == pytest.approx(3 * time_ms)
    stages_ms = sum(figures[f'node_{stage}_p50_ms'] for stage in STAGES)
    assert stages_ms + figures['transport_p50_ms'] == pytest.approx(100.0)
    assert figures['e2e_vs_inference'] == pytest.approx(100.0 / STAGE_MS['inference'])
    assert len(by_round['transport_p50_ms']) == len(by_round['e2e_vs_inference']) == 1


def test_overload_is_the_age_by_the_time_of_inference_in_the_same_round():
    ages_ms = np.linspace(100.0, 200.0, 101)
    # a machine that became half as fast: ages and inference take twice as long
    reports = [make_report(list(ages_ms)), make_report(list(2 * ages_ms))]
    figures, by_round = summarize_overload(reports, [90.0, 180.0])
    assert figures['overload_age_p95_ms'] == np.percentile([*ages_ms, *(2 * ages_ms)], 95)
    assert by_round['overload_age_p95_vs_inference'] == pytest.approx([195.0 / 90.0] * 2)
    assert figures['overload_age_p95_vs_inference'] == pytest.approx(195.0 / 90.0, rel=0.01)


def test_subscribers_are_told_apart_by_name():
    reports = {'mask': [make_report([10.0])], 'mask_confidence': [make_report([12.0])]}
    figures, _ = summarize_subscribers(reports)
    assert figures['e2e_p50_ms_mask'] == 10.0
    assert figures['e2e_p50_ms_mask_confidence'] == 12.0
    assert figures['cpu_ms_per_mask_mask'] == 200.0


def test_turns_stand_for_rounds():
    figures, by_round = summarize_turns({'decode': [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 9.0, 9.0]})
    assert figures == {'decode_ms': 2.5}
    assert by_round == {'decode_ms': [1.0, 2.0, 3.0, 9.0]}


def test_a_run_has_the_keys_that_others_read_and_is_json():
    figures = make_run()
    assert not [key for key in KEYS if key not in figures]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_table_has_the_times_of_every_stage_and_what_was_not_measured():
    figures = make_figures([make_round(100.0, BARE_MS, 600.0)], notes=['no GPU here'])
    table = format_benchmark(figures)
    lines = {line.strip().split('  ')[0]: line for line in table.splitlines()}
    assert lines['inference'].split()[1:] == ['90.00', '180.00', '270.00']
    assert lines['camera message to mask message'].split()[-3] == '100.00'
    assert '6.0 times' in lines['PyTorch eager by end to end']
    assert 'no GPU here' in lines


def test_table_leaves_out_what_there_is_not():
    figures = make_figures([make_round(100.0, 90.0, 600.0)])
    for name in [name for name in figures if name.startswith(('eager', 'overload'))]:
        del figures[name]
    table = format_benchmark(figures)
    assert 'PyTorch' not in table
    assert 'overload' not in table

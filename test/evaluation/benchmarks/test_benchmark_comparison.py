# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A regression is what became worse by more than 5 % and by more than the rounds vary."""

import json
from pathlib import Path

import pytest
from benchmark_runs import make_figures, make_round, make_run

from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_comparison import (
    compare_figures,
    format_comparison,
    load_figures,
    require_comparable,
)

OTHER_CPU = {**make_run()['machine'], 'cpu': 'another processor'}


def name_regressions(new, old) -> list[str]:
    """Return the names of what became worse."""
    return [change.name for change in compare_figures(new, old).regressions]


def test_the_same_figures_are_no_regression():
    comparison = compare_figures(make_run(), make_run())
    assert comparison.changes
    assert not comparison.regressions
    assert {change.verdict for change in comparison.changes} == {'same'}


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        # 4 % are within what is let pass
        ({'e2e_ms': 104.0}, []),
        ({'e2e_ms': 112.0}, ['e2e_vs_bare', 'e2e_vs_inference', 'eager_vs_e2e', 'e2e_p50_ms']),
        # engine and node, each stage of it: the ratio to the bare engine is as it was
        (
            {'e2e_ms': 112.0, 'bare_ms': 106.4},
            ['eager_vs_e2e', 'eager_vs_bare', 'e2e_p50_ms', 'bare_p50_ms']
            + ['node_inference_p50_ms', 'node_decode_p50_ms', 'fps'],
        ),
        # all alike: the machine is slower, nothing else changed
        ({'e2e_ms': 120.0, 'bare_ms': 114.0, 'eager_ms': 720.0}, []),
        ({'e2e_ms': 80.0}, []),
    ],
)
def test_what_is_worse_beyond_noise_is_named(changes, expected):
    assert name_regressions(make_run(**changes), make_run()) == expected


def test_a_change_within_the_spread_of_the_rounds_is_noise():
    noisy = make_figures([make_round(e2e_ms, 95.0, 600.0) for e2e_ms in (95.0, 112.0, 125.0)])
    assert 'e2e_vs_bare' not in name_regressions(noisy, make_run())
    steady = make_figures([make_round(e2e_ms, 95.0, 600.0) for e2e_ms in (111.5, 112.0, 112.5)])
    assert 'e2e_vs_bare' in name_regressions(steady, make_run())


def test_fractions_of_a_millisecond_are_no_regression():
    old, new = make_run(), make_run()
    for figures, time_ms in ((old, 0.05), (new, 0.15)):
        figures['node_read_p50_ms'] = time_ms
        figures['rounds']['node_read_p50_ms'] = [time_ms] * 3
    assert name_regressions(new, old) == []


def test_rates_become_worse_downwards():
    old, new = make_run(), make_run()
    old['fps'] *= 1.2
    assert name_regressions(new, old) == ['fps']
    assert name_regressions(old, new) == []


def test_on_another_machine_ratios_are_judged_and_times_are_not():
    new = make_run(e2e_ms=250.0, machine=OTHER_CPU)
    comparison = compare_figures(new, make_run())
    names = [change.name for change in comparison.regressions]
    assert names == ['e2e_vs_bare', 'e2e_vs_inference', 'eager_vs_e2e']
    verdicts = {change.name: change.verdict for change in comparison.changes}
    assert verdicts['e2e_p50_ms'] == 'not judged'
    assert 'cpu is another processor, was a processor' in comparison.notes


def test_a_single_round_is_said_to_have_unknown_noise():
    new = make_figures([make_round(100.0, 95.0, 600.0)])
    assert any('single round' in note for note in compare_figures(new, make_run()).notes)


def test_report_has_a_line_for_each_regression():
    comparison = compare_figures(make_run(e2e_ms=120.0), make_run())
    lines = format_comparison(comparison).splitlines()
    described = [line for line in lines if line.startswith('regression: ')]
    assert len(described) == len(comparison.regressions)
    assert described[0].startswith('regression: e2e_vs_bare 1.05 -> 1.26, 20.0 % worse')


def test_figures_survive_the_file(tmp_path):
    path = tmp_path / 'old.json'
    path.write_text(json.dumps(make_run()), encoding='utf-8')
    assert load_figures(path) == make_run()


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        ('{"size": ', 'is no JSON file'),
        ('[1, 2]', 'holds a list'),
        ('{"size": "512x1024", "e2e_p50_ms": 120.0}', 'benchmark_format is none, expected 1'),
        ({'benchmark_format': 7}, 'benchmark_format is 7, expected 1'),
        ({'size': 512}, 'no text size'),
        ({'rounds': None}, 'no object rounds'),
        ({'machine': []}, 'no object machine'),
        ({'e2e_p50_ms': 0}, 'e2e_p50_ms is 0'),
        ({'bare_p50_ms': 'fast'}, "bare_p50_ms is 'fast'"),
        ({'rounds': {'e2e_p50_ms': [1, 'x']}}, 'rounds of e2e_p50_ms'),
        ({'rounds': {'e2e_p50_ms': [float('nan')]}}, 'rounds of e2e_p50_ms'),
    ],
)
def test_foreign_and_damaged_files_are_refused(tmp_path, content, problem):
    path = tmp_path / 'old.json'
    text = content if isinstance(content, str) else json.dumps({**make_run(), **content})
    path.write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match='old.json') as error:
        load_figures(path)
    assert problem in str(error.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match='cannot read .*none.json: No such file'):
        load_figures(tmp_path / 'none.json')


def test_runs_of_other_sizes_or_models_are_not_compared():
    old = make_run(size='384x768', model='indoor')
    with pytest.raises(UserError) as error:
        require_comparable(Path('old.json'), old, make_run())
    assert 'size 384x768 instead of 512x1024, model indoor instead of street' in str(error.value)


@pytest.mark.parametrize('libraries', [None, [], 'torch', {'torch': None}])
def test_odd_machine_entries_do_no_harm(libraries):
    old = make_run(machine={**make_run()['machine'], 'libraries': libraries})
    assert compare_figures(make_run(), old).changes

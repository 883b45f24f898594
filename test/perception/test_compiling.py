# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled functions with and without a folder for their cache."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType

import numba

from seg_perception.perception.compiling import compile_kernel

SOURCE = 'def double(x):\n    return 2 * x\n'


def test_code_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, 'CACHE_DIR', str(tmp_path / 'kept'))
    path = tmp_path / 'doubling.py'
    path.write_text(SOURCE, encoding='utf-8')
    spec = importlib.util.spec_from_file_location('doubling', path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'doubling', module)
    spec.loader.exec_module(module)
    assert compile_kernel()(module.double)(21) == 42
    assert list(tmp_path.glob('kept/*/*.nbi'))


def test_code_without_a_place_for_a_cache_still_runs_and_warns_once(caplog, monkeypatch):
    # Code without a source file has no such place, like a read-only install without a home.
    monkeypatch.setitem(sys.modules, 'nowhere', ModuleType('nowhere'))  # Numba 0.55 imports it
    namespace = {'__name__': 'nowhere'}
    exec(compile(SOURCE, '<nowhere>', 'exec'), namespace)
    with caplog.at_level(logging.WARNING):
        functions = [compile_kernel(nogil=True)(namespace['double']) for _ in range(2)]
    assert [function(21) for function in functions] == [42, 42]
    (record,) = caplog.records
    assert 'nowhere is compiled at every start' in record.message
    assert 'set NUMBA_CACHE_DIR to a writable folder' in record.message

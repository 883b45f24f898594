# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of `make bench` run and find what they time to be right; no time is tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / 'benchmarks'


def test_decode_agrees_with_pytorch_on_the_shipped_model(tmp_path):
    out = tmp_path / 'decode.json'
    command = [sys.executable, str(BENCHMARKS / 'decode.py'), '--frames', '1', '--rounds', '1']
    subprocess.run([*command, '--json', str(out)], check=True, capture_output=True)
    figures = json.loads(out.read_text())
    assert figures['logits'].startswith('segnext_t_street')
    assert figures['agreement_with_torch'] > 0.9999
    assert figures['decode_ms'] > 0

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The page of networks and its figures speak of every network that is registered."""

from __future__ import annotations

import json
from pathlib import Path

from seg_perception.networks.registry import list_full_names

DOCS = Path(__file__).parents[1] / 'docs'


def test_every_registered_network_is_in_the_table_and_in_the_json():
    models = json.loads((DOCS / 'models.json').read_text(encoding='utf-8'))['models']
    assert list(models) == list_full_names()
    page = (DOCS / 'models.md').read_text(encoding='utf-8')
    for name, row in models.items():
        assert {'params', 'gmac', 'miou', 'ms'} <= set(row)
        assert f'| {name} | {row["params"] / 1e6:.1f} | {row["gmac"]:.1f} |' in page

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The true footprints of street furniture are where its meshes meet the ground."""

import numpy as np

from seg_perception.sample.furniture import draw_metal, make_sign


def test_poles_of_a_sign_are_where_it_touches_the_ground():
    rng = np.random.default_rng(4)
    counts = set()
    for _ in range(40):
        mesh, poles = make_sign(rng, draw_metal(rng))
        corners = mesh.vertices.reshape(-1, 3)
        feet_y = corners[corners[:, 2] < 0.01][:, 1]
        distances = np.abs(feet_y[:, None] - np.array(poles))
        assert distances.min(axis=1).max() < 0.06  # every foot belongs to a pole
        assert distances.min(axis=0).max() < 0.06  # every pole has a foot
        counts.add(len(poles))
    assert counts == {1, 2}

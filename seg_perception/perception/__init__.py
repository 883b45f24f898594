# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pure perception code: frames, geometry, mask decode, overlays, label spaces."""

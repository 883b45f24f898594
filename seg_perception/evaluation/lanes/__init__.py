# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lane lines, to check the ground geometry on real roads."""

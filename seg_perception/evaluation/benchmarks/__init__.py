# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Figures of a benchmark: made, drawn, compared."""

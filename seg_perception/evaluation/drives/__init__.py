# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Evaluations of recorded drives: one, many, compared, swept."""

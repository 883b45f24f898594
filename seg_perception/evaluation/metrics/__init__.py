# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Metrics: each counts single frames, and makes figures of any set of them."""

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings: reading, writing, describing, and where their truth comes from."""

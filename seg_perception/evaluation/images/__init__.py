# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled images: scores, temperature, quantisation."""

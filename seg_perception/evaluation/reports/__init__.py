# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Results for people: the HTML report, pictures, videos, tables."""

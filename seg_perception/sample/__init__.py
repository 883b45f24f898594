# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The sample drive: a deterministic, rendered street with exact ground truth."""

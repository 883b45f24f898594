# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch definitions of the networks, one file per network."""

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Real-time semantic segmentation for ROS 2 robots."""

__version__ = '0.1.0'

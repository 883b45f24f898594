# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes, parameters, diagnostics and message conversion."""

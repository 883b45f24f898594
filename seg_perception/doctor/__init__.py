# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What will work on this machine: checks that end in findings, and the page they make."""

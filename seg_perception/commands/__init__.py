# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Subcommands of the seg_perception command, one module each."""

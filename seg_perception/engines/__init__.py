# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The deployable graph and the backends that run it."""

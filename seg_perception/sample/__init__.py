# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A made-up street drive with exact truth: see `drive.SampleDrive`."""

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What there is to know about models: cards, hashes, and where published weights come from."""

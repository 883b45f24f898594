# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can act on."""


class UserError(Exception):
    """A request that cannot be carried out; the message says why and how to fix it."""

# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Numba functions that also work where compiled code cannot be kept on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba


def compile_kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator like `numba.njit(cache=True, **options)` that needs no writable folder.

    Numba keeps compiled code beside the source file, else in the user's cache folder. Where it
    can write to neither (a root-owned install and a user without a home folder) it raises
    RuntimeError when the function is defined, so that the module cannot be imported. Here the
    function is compiled anew in each process then, with one warning that says how to avoid it.
    Only functions that Python calls need a cache; the compiled code of those they call is in it.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            _warn_once(function.__module__, str(error))
            return numba.njit(**options)(function)

    return decorate


@cache
def _warn_once(module: str, reason: str) -> None:
    logging.getLogger(__name__).warning(
        'no folder to keep compiled code in: %s is compiled at every start, which takes some '
        'seconds; set NUMBA_CACHE_DIR to a writable folder (%s)',
        module,
        reason,
    )

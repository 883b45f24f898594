# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Kernels that TensorRT-RTX compiles for the GPU when it first runs an engine, kept beside it.

Its engines hold no machine code of the GPU; without this every start compiles it again. The
library itself checks that a cache is of its version, GPU and driver.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from seg_perception.engines.engine_cache import add_suffix
from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

LOGGER = logging.getLogger(__name__)
KERNEL_SUFFIX = '.kernels'


class KernelCache:
    """The kernels of one engine. It must outlive the execution context."""

    def __init__(self, engine: Any, plan_path: Path | None) -> None:
        """Read nothing yet.

        Args:
            engine: the library's.
            plan_path: where its plan is kept; None keeps no kernels either. Engines of the
                standard TensorRT hold their kernels, and nothing is kept for them.
        """
        self._engine = engine
        self._path = None if plan_path is None else add_suffix(plan_path, KERNEL_SUFFIX)
        self._kept = b''
        self._cache: Any = None
        self._config: Any = None

    def create_context(self) -> Any:
        """Return the engine's execution context with what is kept; None where memory is out."""
        make_config = getattr(self._engine, 'create_runtime_config', None)
        if make_config is None or self._path is None:
            return self._engine.create_execution_context()
        self._config = make_config()
        if hasattr(self._config, 'create_runtime_cache'):
            self._cache = self._config.create_runtime_cache()
            self._kept = self._read(self._path)
            self._config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(self._config)

    def _read(self, path: Path) -> bytes:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return b''
        except OSError as error:
            LOGGER.warning('kernels are compiled again: %s', error)
            return b''
        if not self._cache.deserialize(content):
            LOGGER.info('kernels are compiled again: %s is of another GPU or driver', path)
            return b''
        return content

    def keep(self) -> None:
        """Write the kernels if there are new ones: after the first run, not at the end.

        A robot is switched off rather than shut down. Without the file the next start takes
        longer, no more.
        """
        if self._cache is None or self._path is None:
            return
        serialised = self._cache.serialize()
        content = b'' if serialised is None else bytes(serialised)
        if content in (b'', self._kept):
            return
        try:
            replace_file(self._path, lambda temporary: temporary.write_bytes(content))
        except UserError as error:
            LOGGER.warning('the next start compiles the kernels again: %s', error)

    def close(self) -> None:
        """Let go of the library's objects."""
        self._config = self._cache = self._engine = None

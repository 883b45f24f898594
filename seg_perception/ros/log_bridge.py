# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the other rooms log, such as engines that are built, goes into the node's log."""

from __future__ import annotations

import logging
from typing import Any

PACKAGE_LOGGER = logging.getLogger('seg_perception')


class NodeLogHandler(logging.Handler):
    """Hands records to the logger of a node."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record with its severity."""
        text = record.getMessage()
        # a line per severity: rclpy refuses two from one place in the code
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def send_logs_to(logger: Any) -> None:
    """Send what the package logs in this process to a node's logger, and nowhere else."""
    PACKAGE_LOGGER.handlers = [NodeLogHandler(logger)]
    PACKAGE_LOGGER.propagate = False
    PACKAGE_LOGGER.setLevel(logging.DEBUG)


def find_logger(node: Any, camera: str = '') -> Any:
    """Return the logger for a camera: '<node>.<camera>', the node's own for one without a name."""
    logger = node.get_logger()
    return logger.get_child(camera) if camera else logger

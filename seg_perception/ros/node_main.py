# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The process of the segmentation node: signals, executor, exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from seg_perception.errors import UserError
from seg_perception.ros.log_bridge import send_logs_to
from seg_perception.ros.segmentation_node import SegmentationNode

# How long the executor sleeps at most, and so how late SIGINT may be noticed. Five wake-ups per
# second cost nothing that can be measured.
SPIN_TIMEOUT_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Returns 0 after a clean end, 1 where `build_only` was asked for and no engine is ready, 2 when
    the parameters or the command line are wrong.
    """
    stop_requested = False
    node: SegmentationNode | None = None

    def request_stop(signal_number: int, frame: Any) -> None:
        nonlocal stop_requested
        stop_requested = True
        if node is not None:
            node.interrupt()

    # Our own handlers: those of rclpy shut the context down at once, and neither the frame in
    # hand nor the transition to finalized could be published any more.
    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    try:
        rclpy.init(
            args=None if arguments is None else list(arguments),
            signal_handler_options=SignalHandlerOptions.NO,
        )
    # RCLError: a parameter file that is no YAML, or unknown --ros-args
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    executor = SingleThreadedExecutor()
    try:
        node = SegmentationNode()
        send_logs_to(node.get_logger())
        if node.get_parameter('build_only').value:
            return 0 if node.build() else 1
        executor.add_node(node)
        if node.get_parameter('autostart').value:
            node.start()
        while not stop_requested:
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # The worker joins first, then the executor, then the context: in any other order rclpy
        # aborts the process.
        if node is not None:
            node.shut_down()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        # Python gives signals back to the system before the libraries unload; a second one (both
        # launch and the terminal may send it) must not turn a clean end into a failure.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


if __name__ == '__main__':
    sys.exit(main())

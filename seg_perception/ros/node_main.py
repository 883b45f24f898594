# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The process of the segmentation node: signals, executor, exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from seg_perception.errors import UserError

if TYPE_CHECKING:
    from seg_perception.ros.segmentation_node import SegmentationNode

# How long the executor sleeps at most, and so how late SIGINT may be noticed. Five wake-ups per
# second cost nothing that can be measured.
SPIN_TIMEOUT_S = 0.2
# A callback in which a signal is lost takes microseconds.
REPEAT_AFTER_S = 0.02


class StopRequest:
    """Takes SIGINT and SIGTERM from its making on.

    Our own handlers: those of rclpy shut the context down at once, and neither the frame in hand
    nor the transition to finalized could be published any more.

    Attributes:
        is_made: a signal has come.
        has_interrupted: it ended something half done.
        interrupt: called by the handler, in the main thread; may raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.is_made = False
        self.has_interrupted = False
        self.interrupt: Callable[[], None] = raise_interrupt
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)
        sys.unraisablehook = repeat_lost_interrupt

    def _take(self, signal_number: int, frame: Any) -> None:
        self.is_made = True
        try:
            self.interrupt()
        except KeyboardInterrupt:
            self.has_interrupted = True
            raise

    def ignore_further(self) -> None:
        """Let no signal disturb the end any more, and let go of the node.

        Python gives signals back to the system before the libraries unload; a second one (both
        launch and the terminal may send it) must not turn a clean end into a failure.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.interrupt = raise_interrupt


def raise_interrupt() -> None:
    """End the imports and the making of the node, of which nothing has to be undone."""
    raise KeyboardInterrupt


def repeat_lost_interrupt(lost: Any) -> None:
    """Send a signal again whose exception was lost in a callback from C, as LLVM makes them."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(REPEAT_AFTER_S, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Returns 0 after a clean end, 1 where `build_only` was asked for and no engine is ready, 2 when
    the parameters or the command line are wrong.
    """
    # before the imports, which take seconds
    stop = StopRequest()
    try:
        status = run_node(arguments, stop)
    except KeyboardInterrupt:
        status = 0
    finally:
        stop.ignore_further()
    if stop.has_interrupted:
        # Numba may go on in a thread, for which Python would wait: 15 s on a busy machine.
        gc.collect()  # the node's shared memory goes with its last object
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def run_node(arguments: Sequence[str] | None, stop: StopRequest) -> int:
    """Make the node and spin it until a stop is asked for; returns what `main` does."""
    try:
        import rclpy
    except ModuleNotFoundError as error:
        print(
            f'error: {error}, with {sys.executable}: source the setup file of ROS 2; if that is '
            'done, the workspace was built by the colcon of another Python, such as that of a '
            'virtual environment: build it with that of the Python that has rclpy',
            file=sys.stderr,
        )
        return 2
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from seg_perception.ros.log_bridge import send_logs_to
    from seg_perception.ros.segmentation_node import SegmentationNode
    from seg_perception.ros.shared_memory import warn_of_leftovers

    node: SegmentationNode | None = None
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
        stop.interrupt = node.interrupt
        send_logs_to(node.get_logger())
        warn_of_leftovers(node.get_logger())
        if node.get_parameter('build_only').value:
            return 0 if node.build() else 1
        executor.add_node(node)
        if node.get_parameter('autostart').value:
            node.start()
        while not stop.is_made:
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
    return 0


if __name__ == '__main__':
    sys.exit(main())

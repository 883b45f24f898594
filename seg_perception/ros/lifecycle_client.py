# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Asks a lifecycle node in another process for its state and for transitions."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from seg_perception.errors import UserError
from seg_perception.ros.environment import prepare_this_process


class LifecycleClient:
    """Context manager with a ROS context of its own, so it works beside any other node.

    Args:
        node_name: full name of the lifecycle node, e.g. '/segnext'.

    """

    def __init__(self, node_name: str) -> None:
        self.node_name = node_name
        prepare_this_process()
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(
            f'seg_perception_client_{os.getpid()}_{id(self) % 10**6}', context=self._context
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._get_state: Any = self._node.create_client(GetState, f'{node_name}/get_state')
        self._change_state: Any = self._node.create_client(
            ChangeState, f'{node_name}/change_state'
        )
        self._set_parameters: Any = self._node.create_client(
            SetParameters, f'{node_name}/set_parameters'
        )

    def __enter__(self) -> LifecycleClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def read_state(self, timeout_s: float) -> str:
        """Return 'unconfigured', 'inactive', 'active' or 'finalized'; '' without an answer."""
        response = self._call(self._get_state, GetState.Request(), timeout_s)
        return '' if response is None else str(response.current_state.label)

    def change_state(self, transition: str, timeout_s: float = 60.0) -> bool:
        """Ask for 'configure', 'activate', 'deactivate', 'cleanup' or 'shutdown'.

        Returns whether the node did it.

        Raises:
            UserError: no answer in time.

        """
        request = ChangeState.Request()
        request.transition.label = transition
        response = self._call(self._change_state, request, timeout_s)
        if response is None:
            raise UserError(
                f'{self.node_name} did not answer to {transition} within {timeout_s:.0f} s'
            )
        return bool(response.success)

    def set_parameter(self, name: str, value: Any, timeout_s: float = 10.0) -> str:
        """Set a parameter; return '' or the reason for which the node refused it.

        Raises:
            UserError: no answer in time.

        """
        parameter: ParameterMessage = Parameter(name, value=value).to_parameter_msg()
        response = self._call(
            self._set_parameters, SetParameters.Request(parameters=[parameter]), timeout_s
        )
        if response is None:
            raise UserError(f'{self.node_name} did not answer within {timeout_s:.0f} s')
        result = response.results[0]
        return '' if result.successful else str(result.reason)

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        """Return a service's response, None when the service is not there or slow."""
        deadline_s = time.monotonic() + timeout_s
        if not client.wait_for_service(timeout_sec=timeout_s):
            return None
        future = client.call_async(request)
        self._executor.spin_until_future_complete(
            future, timeout_sec=max(0.0, deadline_s - time.monotonic())
        )
        if not future.done():
            client.remove_pending_request(future)
            return None
        return future.result()

# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The six parameter services of a node, called as ROS tools call them."""

from __future__ import annotations

import itertools
import time

from rcl_interfaces import srv
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterDescriptor, ParameterValue, SetParametersResult
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor

LIMIT_S = 60.0
# A node that has not discovered its caller's end yet answers into the void: ask again.
ANSWER_S = 10.0
_numbers = itertools.count()


class ParameterTool:
    """Calls the services from a node of its own.

    Args:
        name: of the node, with its namespace.
        served: nodes of this process and of one context that must run to answer.
        context: of the tool's node; None for that of ``served``.
    """

    def __init__(self, name: str, *served: Node, context: Context | None = None):
        context = context or served[0].context
        self._name = name
        self._own = Node(f"tool_{next(_numbers)}", context=context)
        self._executor = LeanExecutor(context=context)
        for node in (*served, self._own):
            self._executor.add_node(node)
        kinds = {"list_parameters": srv.ListParameters, "get_parameters": srv.GetParameters,
                 "get_parameter_types": srv.GetParameterTypes,
                 "describe_parameters": srv.DescribeParameters,
                 "set_parameters": srv.SetParameters,
                 "set_parameters_atomically": srv.SetParametersAtomically}
        self._clients = {service: self._own.create_client(kind, f"{name}/{service}")
                         for service, kind in kinds.items()}

    def close(self) -> None:
        self._executor.shutdown()
        self._own.destroy_node()

    def wait(self) -> None:
        """Wait until the node offers all six services."""
        deadline = time.monotonic() + LIMIT_S
        while not all(client.service_is_ready() for client in self._clients.values()):
            assert time.monotonic() < deadline, f"{self._name} does not appear"
            self.spin()

    def spin(self) -> None:
        """Let the nodes of this process run for a moment."""
        self._executor.spin_once(timeout_sec=0.05)

    def list(self) -> list[str]:
        return list(self._call("list_parameters", srv.ListParameters.Request()).result.names)

    def get(self, *names: str) -> list:
        """Return the values; nothing if there is no parameter of one of the names."""
        values = self._call("get_parameters", srv.GetParameters.Request(names=names)).values
        return [Parameter.from_parameter_msg(ParameterMessage(name=n, value=v)).value
                for n, v in zip(names, values, strict=False)]

    def types(self, *names: str) -> list[Parameter.Type]:
        request = srv.GetParameterTypes.Request(names=names)
        return [Parameter.Type(t) for t in self._call("get_parameter_types", request).types]

    def describe(self, *names: str) -> list[ParameterDescriptor]:
        request = srv.DescribeParameters.Request(names=names)
        return self._call("describe_parameters", request).descriptors

    def set(self, **values) -> list[SetParametersResult]:
        """Set one after the other; a value may be a ``ParameterValue``."""
        request = srv.SetParameters.Request(parameters=_messages(values))
        return self._call("set_parameters", request).results

    def set_atomically(self, **values) -> SetParametersResult:
        request = srv.SetParametersAtomically.Request(parameters=_messages(values))
        return self._call("set_parameters_atomically", request).result

    def _call(self, service: str, request):
        client = self._clients[service]
        if not client.service_is_ready():
            self.wait()
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            future = client.call_async(request)
            self._executor.spin_until_future_complete(future, ANSWER_S)
            if future.done():
                return future.result()
            client.remove_pending_request(future)
        raise AssertionError(f"{self._name} does not answer {service}")


def _messages(values: dict[str, object]) -> list[ParameterMessage]:
    return [ParameterMessage(name=name, value=value if isinstance(value, ParameterValue)
                             else Parameter(name, value=value).get_parameter_value())
            for name, value in values.items()]

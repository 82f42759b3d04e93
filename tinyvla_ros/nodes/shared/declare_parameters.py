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

"""The parameters of a node from the fields of a model: type, default, bounds and description.

A field with ``Settable`` can be set while the node runs. All others are read-only: setting one is
answered with what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, get_origin

from pydantic.fields import FieldInfo
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinyvla_ros.core.configuration import ConfigT
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.options import bounds, settable, valid_values, validate, value_type

_TYPES = {kind.value for kind in Parameter.Type}
# Checks new values and the names of those that changed; returns what makes them count.
Change = Callable[[ConfigT, set[str]], Callable[[], None]]


def declare_parameters(node: Node, model: type[ConfigT], change: Change | None = None) -> ConfigT:
    """Declare every field of ``model`` as a parameter and return their values.

    Args:
        node: the node.
        model: with an ``InputError`` for values that do not fit together.
        change: called when a tool sets fields with ``Settable``. It may refuse with an
            ``InputError``; what it returns is called when all parameters are set.

    Raises:
        InputError: an override has the wrong type or is out of range.
    """
    # Any type is taken first, so that the message about a wrong one is ours.
    values = {name: node.declare_parameter(name, _plain(field.default),
                                           ParameterDescriptor(dynamic_typing=True)).value
              for name, field in model.model_fields.items()}
    values = _with_new_names(node, model, values)
    for name, field in model.model_fields.items():
        if value_type(field) == (str, False) and isinstance(values[name], bool | int | float):
            # YAML made it of 42, on or 123E5, and how it was written is lost.
            raise InputError(f"Parameter '{name}' is {values[name]!r}; give text, here in "
                             f"quotes for YAML: -p \"{name}:='...'\".")
    parameters = _validate(model, values)
    for name, field in model.model_fields.items():
        parameter = Parameter(name, value=_plain(getattr(parameters, name)))
        # Different if it was given by its old name, or as 1 for 1.0.
        if node.get_parameter(name).get_parameter_value() != parameter.get_parameter_value():
            node.set_parameters([parameter])
        node.set_descriptor(name, _descriptor(parameter, field))
    _warn_of_unknown(node, model)
    _Setter(node, model, parameters, change)
    return parameters


class _Setter(Generic[ConfigT]):
    """Answers the services that set parameters: all of a request are set, or none.

    rclpy's own answers come first for a wrong type, a range and a read-only parameter. They name
    neither the value nor what to do, and an unknown type of value ends the node.
    """

    def __init__(self, node: Node, model: type[ConfigT], values: ConfigT, change: Change | None):
        self._node, self._model, self._values, self._change = node, model, values, change
        services = {service.srv_type: service for service in node.services}
        services[SetParameters].callback = self._on_set
        services[SetParametersAtomically].callback = self._on_set_atomically

    def _on_set(self, request, response):
        response.results = [self._set([message]) for message in request.parameters]
        return response

    def _on_set_atomically(self, request, response):
        response.result = self._set(request.parameters)
        return response

    def _set(self, messages: Sequence[ParameterMessage]) -> SetParametersResult:
        try:
            parameters = [self._checked(message) for message in messages]
            new = {p.name: p.value for p in parameters if p.name in self._model.model_fields}
            values = _validate(self._model, self._values.model_dump() | new)
            changed = {n for n in new if getattr(values, n) != getattr(self._values, n)}
            apply = self._change(values, changed) if changed and self._change else lambda: None
        except InputError as err:
            return SetParametersResult(successful=False, reason=str(err))
        result = self._node.set_parameters_atomically(parameters)
        if result.successful:
            self._values = values
            apply()
            for name in sorted(changed):
                self._node.get_logger().info(f"Parameter '{name}' is now {new[name]!r}.")
        return result

    def _checked(self, message: ParameterMessage) -> Parameter:
        name, number = message.name, message.value.type
        field = self._model.model_fields.get(name)
        if field is None and not self._node.has_parameter(name):
            raise InputError(unknown("parameter", name, self._model.model_fields))
        if number not in _TYPES:
            raise InputError(f"The type of parameter '{name}' is {number}; give one from "
                             f"{min(_TYPES)} to {max(_TYPES)}, see rcl_interfaces/ParameterType.")
        parameter = Parameter.from_parameter_msg(message)
        if field is None:  # one of rclpy's own, which checks it
            return parameter
        if settable(field) is None:
            raise InputError(f"Parameter '{name}' is read-only; restart the node with -p "
                             f"{name}:=VALUE to change it.")
        if parameter.type_ is Parameter.Type.NOT_SET:
            raise InputError(f"Parameter '{name}' cannot be deleted; give "
                             f"{valid_values(field)}.")
        if parameter.type_ is Parameter.Type.INTEGER and value_type(field)[0] is float:
            return Parameter(name, value=float(parameter.value))
        return parameter


def _validate(model: type[ConfigT], values: dict[str, object]) -> ConfigT:
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return validate(model, values, lambda name: f"Parameter '{name}'", strict=True)


def _with_new_names(node: Node, model: type[ConfigT], values: dict) -> dict[str, object]:
    """Return the values with those that were given by a name of the release before."""
    values = dict(values)
    for old, name in model.old_names.items():
        given = node.declare_parameter(old, None, ParameterDescriptor(dynamic_typing=True)).value
        node.undeclare_parameter(old)
        if given is None:
            continue
        if values[name] not in (given, _plain(model.model_fields[name].default)):
            raise InputError(f"Parameter '{name}' is {values[name]!r}, and '{old}', its old name, "
                             f"is {given!r}; give '{name}' alone.")
        values[name] = given
        node.get_logger().warning(f"Parameter '{old}' is now called '{name}'; the next release "
                                  "will not accept the old name.")
    return values


def _warn_of_unknown(node: Node, model: type[ConfigT]) -> None:
    """Name what was given to this node and is none of its parameters."""
    for name in _given(node):
        if name not in model.old_names and not node.has_parameter(name):
            node.get_logger().warning(
                f"{unknown('parameter', name, model.model_fields)} It has no effect.")


def _given(node: Node) -> Iterable[str]:
    """Return the parameters given by -p or in a file, under this node's name or a wildcard."""
    return node._parameter_overrides  # noqa: SLF001  (rclpy has no public name for them)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(parameter: Parameter, field: FieldInfo) -> ParameterDescriptor:
    marker, name = settable(field), parameter.name
    descriptor = ParameterDescriptor(type=parameter.type_.value, read_only=marker is None,
                                     description=field.description or "")
    limits, (kind, several) = bounds(field), value_type(field)
    has_range = {"ge", "le"} <= limits.keys() and not several
    if has_range and parameter.type_ is Parameter.Type.DOUBLE:
        descriptor.floating_point_range = [FloatingPointRange(
            from_value=float(limits["ge"]), to_value=float(limits["le"]))]
    elif has_range and parameter.type_ is Parameter.Type.INTEGER:
        descriptor.integer_range = [IntegerRange(from_value=limits["ge"], to_value=limits["le"],
                                                 step=1)]
    elif limits or get_origin(kind) is not None:
        descriptor.additional_constraints = f"{valid_values(field)}; "
    descriptor.additional_constraints += f"can be set {marker.when}" if marker else \
        f"read-only, restart the node with -p {name}:=VALUE to change it"
    return descriptor

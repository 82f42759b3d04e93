# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node from the fields of a model: type, default, bounds and description."""

from __future__ import annotations

from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinyvla_ros.core.configuration import ConfigT
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import bounds, validate


def declare_parameters(node: Node, model: type[ConfigT]) -> ConfigT:
    """Declare every field of ``model`` as a read-only parameter and return their values.

    Raises:
        InputError: an override has the wrong type or is out of range.
    """
    # Any type is taken first, so that the message about a wrong one is ours.
    values = {name: node.declare_parameter(name, _plain(field.default),
                                           ParameterDescriptor(dynamic_typing=True)).value
              for name, field in model.model_fields.items()}
    parameters = validate(model, _with_new_names(node, model, values),
                          lambda name: f"Parameter '{name}'")
    for name, field in model.model_fields.items():
        parameter = Parameter(name, value=_plain(getattr(parameters, name)))
        # Different if it was given by its old name, or as 1 for 1.0.
        if node.get_parameter(name).get_parameter_value() != parameter.get_parameter_value():
            node.set_parameters([parameter])
        node.set_descriptor(name, _descriptor(parameter, field))
    return parameters


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


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(parameter: Parameter, field: FieldInfo) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(type=parameter.type_.value, read_only=True,
                                     description=field.description or "")
    limits = bounds(field)
    if "ge" in limits and "le" in limits:
        low, high = limits["ge"], limits["le"]
        if parameter.type_ is Parameter.Type.DOUBLE:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif parameter.type_ is Parameter.Type.INTEGER:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor

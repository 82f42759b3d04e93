# SPDX-License-Identifier: Apache-2.0
"""Parameters of a node from one typed description: type, default, range, text, validation."""

from __future__ import annotations

from typing import TypeVar

import annotated_types
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from tinyvla_ros.core.configuration import Config, parse
from tinyvla_ros.core.errors import InputError

ParametersT = TypeVar("ParametersT", bound=Config)


def declare_parameters(node: Node, model: type[ParametersT]) -> ParametersT:
    """Declare every field of ``model`` as a read-only parameter and return their values.

    Args:
        node: the node.
        model: a ``Config`` whose fields have defaults, descriptions and bounds.

    Raises:
        InputError: an override has the wrong type or is out of range.
    """
    values = {}
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = list(default)
        descriptor = ParameterDescriptor(description=field.description or "", read_only=True)
        low, high = _bounds(field)
        if low is not None and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low),
                                                                  to_value=float(high))]
        elif low is not None and isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high),
                                                     step=1)]
        try:
            values[name] = node.declare_parameter(name, default, descriptor).value
        except InvalidParameterTypeException as err:
            given = node._parameter_overrides[name]
            raise InputError(f"Parameter '{name}' is {given.value!r}; it must be of the type of "
                             f"its default {default!r} ({field.description}).") from err
        except InvalidParameterValueException as err:
            given = node._parameter_overrides[name]
            raise InputError(f"Parameter '{name}' is {given.value!r}; it must be between {low} "
                             f"and {high} ({field.description}).") from err
    return parse(model, values, f"Parameters of {node.get_name()}")


def _bounds(field) -> tuple[float | None, float | None]:
    low = high = None
    for item in field.metadata:
        if isinstance(item, annotated_types.Ge):
            low = item.ge
        if isinstance(item, annotated_types.Le):
            high = item.le
    return (low, high) if low is not None and high is not None else (None, None)

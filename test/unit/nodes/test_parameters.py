# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from the fields of a model."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError

rclpy = pytest.importorskip("rclpy")

from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from tinyvla_ros.nodes.declare_parameters import declare_parameters  # noqa: E402


class ExampleParameters(Config):
    """One parameter of every kind."""

    old_names = {"size": "width"}

    rate: float = Field(10.0, ge=0.0, le=100.0, description="Hz.")
    width: int = Field(320, ge=64, le=4096, description="Pixels.")
    mode: Literal["slow", "fast"] = Field("slow", description="How.")
    topics: tuple[str, ...] = Field(("a",), description="What.")
    on: bool = Field(True, description="Whether.")


@pytest.fixture
def node():
    """A node without overrides, made again with some by ``node(...)``."""
    context = rclpy.Context()
    rclpy.init(context=context)
    made = []

    def make(**overrides):
        made.append(Node("example", context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in overrides.items()]))
        return made[-1]

    yield make
    for one in made:
        one.destroy_node()
    rclpy.shutdown(context=context)


def test_defaults_and_overrides(node):
    assert declare_parameters(node(), ExampleParameters) == ExampleParameters()
    parameters = declare_parameters(node(rate=5, mode="fast", topics=["x", "y"], on=False),
                                    ExampleParameters)
    assert parameters == ExampleParameters(rate=5.0, mode="fast", topics=("x", "y"), on=False)


def test_a_parameter_is_typed_ranged_and_read_only(node):
    made = node(rate=5)
    declare_parameters(made, ExampleParameters)
    assert made.get_parameter("rate").value == 5.0
    rate, width = made.describe_parameters(["rate", "width"])
    assert rate.type == Parameter.Type.DOUBLE.value and rate.read_only and not rate.dynamic_typing
    assert rate.description == "Hz."
    assert rate.floating_point_range[0].to_value == 100.0
    assert (width.integer_range[0].from_value, width.integer_range[0].to_value) == (64, 4096)
    assert not made.set_parameters([Parameter("rate", value=7.0)])[0].successful
    assert made.get_parameter("topics").value == ["a"]


def test_an_old_name_is_accepted_and_leaves_no_parameter(node):
    made = node(size=640)
    assert declare_parameters(made, ExampleParameters).width == 640
    assert made.get_parameter("width").value == 640
    assert not made.has_parameter("size")


@pytest.mark.parametrize(("overrides", "named"), [
    ({"size": 1}, ("'width'", "1", "64", "4096")),
    ({"width": 1}, ("'width'", "1", "64", "4096")),
    ({"width": 500, "size": 640}, ("'width'", "500", "'size'", "640")),
    ({"rate": "fast"}, ("'rate'", "fast", "number", "100")),
    ({"mode": "quick"}, ("'mode'", "quick", "slow", "fast")),
    ({"topics": 3}, ("'topics'", "3", "text")),
])
def test_a_bad_override_is_named_with_what_is_valid(node, overrides, named):
    with pytest.raises(InputError) as caught:
        declare_parameters(node(**overrides), ExampleParameters)
    for text in named:
        assert text in str(caught.value)

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

"""ROS parameters from the fields of a model."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Settable

rclpy = pytest.importorskip("rclpy")

from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from harness.left_over import new_context  # noqa: E402
from harness.parameters import ParameterTool  # noqa: E402
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters  # noqa: E402


class ExampleParameters(Config):
    """One parameter of every kind."""

    old_names = {"size": "width"}

    rate: float = Field(10.0, ge=0.0, le=100.0, description="Hz.")
    width: int = Field(320, ge=64, le=4096, description="Pixels.")
    mode: Literal["slow", "fast"] = Field("slow", description="How.")
    topics: tuple[str, ...] = Field(("a",), description="What.")
    words: str = Field("", description="Said.")
    on: bool = Field(True, description="Whether.")
    gain: Annotated[float, Settable("at any time")] = Field(1.0, ge=0.0, le=2.0)
    step: Annotated[int, Settable("at any time")] = Field(1, ge=0, description="Rows.")
    shape: Annotated[Literal["round", "square"], Settable("at any time")] = "round"

    @model_validator(mode="after")
    def _check(self):
        if self.gain > 1.0 and self.step > 10:
            raise ValueError(f"Gain {self.gain:g} with step {self.step} is unstable; lower one")
        return self


@pytest.fixture
def node():
    """A node without overrides, made again with some by ``node(...)``."""
    context = new_context()
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
    assert "-p rate:=VALUE" in rate.additional_constraints
    assert not made.set_parameters([Parameter("rate", value=7.0)])[0].successful
    assert made.get_parameter("topics").value == ["a"]
    mode, gain, step = made.describe_parameters(["mode", "gain", "step"])
    assert "slow or fast" in mode.additional_constraints
    assert not gain.read_only and gain.floating_point_range[0].to_value == 2.0
    assert "at any time" in gain.additional_constraints
    assert "at least 0" in step.additional_constraints


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
    ({"topics": [1, 2]}, ("'topics'", "1", "text")),
    ({"rate": "10"}, ("'rate'", "10", "number")),
    ({"rate": True}, ("'rate'", "True", "number")),
    ({"rate": float("nan")}, ("'rate'", "nan", "number")),
    ({"width": True}, ("'width'", "True", "whole number")),
    ({"width": 320.5}, ("'width'", "320.5", "whole number")),
    ({"on": 1}, ("'on'", "1", "true or false")),
    ({"on": "no"}, ("'on'", "no", "true or false")),
    ({"gain": 2.0, "step": 11}, ("2", "11")),
    ({"words": 42}, ("'words'", "42", "words:='...'")),
    ({"words": True}, ("'words'", "True", "words:='...'")),  # of 'yes' or 'on'
    ({"words": 12300000.0}, ("'words'", "12300000.0", "words:='...'")),  # of 123E5
])
def test_a_bad_override_is_named_with_what_is_valid(node, overrides, named):
    with pytest.raises(InputError) as caught:
        declare_parameters(node(**overrides), ExampleParameters)
    for text in named:
        assert text in str(caught.value)


@pytest.mark.parametrize(("name", "nearest"), [("rte", "rate"), ("Topic", "topics")])
def test_a_misspelt_override_is_a_warning_with_the_nearest_name(node, name, nearest, capfd):
    declare_parameters(node(**{name: 3.0, "width": 640}), ExampleParameters)
    warnings = [line for line in capfd.readouterr().err.splitlines() if "WARN" in line]
    assert len(warnings) == 1
    assert f"'{name}'" in warnings[0] and f"'{nearest}'?" in warnings[0]


def test_overrides_of_rclpys_own_parameters_are_no_warning(node, capfd):
    made = node(use_sim_time=True, start_type_description_service=False, rate=5.0, size=640)
    declare_parameters(made, ExampleParameters)
    assert "Unknown" not in capfd.readouterr().err
    assert made.get_parameter("use_sim_time").value is True


class Changes:
    """What a node was told: the values that counted, and those it was asked about."""

    def __init__(self):
        self.applied, self.asked = [], []

    def __call__(self, values, changed):
        self.asked.append(changed)
        if values.shape == "square" and values.step == 7:
            raise InputError("Seven squares are too many; give at most 6.")
        return lambda: self.applied.append(values)


@pytest.fixture
def changes():
    return Changes()


@pytest.fixture
def tool(node, changes):
    made = node()
    declare_parameters(made, ExampleParameters, changes)
    tool = ParameterTool("/example", made)
    yield tool
    tool.close()


def test_what_is_settable_counts_once_it_is_set(tool, changes):
    assert all(r.successful for r in tool.set(gain=2, step=3))
    assert tool.get("gain", "step") == [2.0, 3]
    assert [(v.gain, v.step) for v in changes.applied] == [(2.0, 1), (2.0, 3)]
    assert isinstance(tool.get("gain")[0], float), "an int for a double is taken"
    assert tool.set_atomically(gain=0.5, step=20, shape="square").successful
    assert changes.asked[-1] == {"gain", "step", "shape"}
    assert len(changes.applied) == 3
    assert tool.set_atomically(gain=0.5).successful
    assert len(changes.applied) == 3, "nothing changed"


@pytest.mark.parametrize(("values", "named"), [
    ({"rate": 7.0}, ("'rate'", "read-only", "-p rate:=VALUE")),
    ({"gian": 1.0}, ("'gian'", "Did you mean 'gain'")),
    ({"gain": 3.0}, ("'gain'", "3.0", "from 0 to 2")),
    ({"gain": float("nan")}, ("'gain'", "nan", "from 0 to 2")),
    ({"gain": "high"}, ("'gain'", "high", "a number")),
    ({"gain": True}, ("'gain'", "True", "a number")),
    ({"step": 1.5}, ("'step'", "1.5", "a whole number")),
    ({"step": -1}, ("'step'", "-1", "at least 0")),
    ({"shape": "oval"}, ("'shape'", "oval", "round or square")),
    ({"gain": ParameterValue()}, ("'gain'", "deleted", "from 0 to 2")),
    ({"gain": ParameterValue(type=99)}, ("'gain'", "99", "from 0 to 9")),
    ({"": 3}, ("''", "'rate'")),
])
def test_what_is_refused_is_named_with_what_is_valid_and_changes_nothing(tool, changes, values,
                                                                         named):
    before = tool.get(*ExampleParameters.model_fields)
    for result in (tool.set(**values)[0], tool.set_atomically(**{"step": 2} | values)):
        assert not result.successful
        for text in named:
            assert text in result.reason
    assert tool.get(*ExampleParameters.model_fields) == before
    assert changes.applied == []


def test_values_that_do_not_fit_together_are_refused_together(tool):
    result = tool.set_atomically(gain=2.0, step=11)
    assert not result.successful and "11" in result.reason
    result = tool.set_atomically(shape="square", step=7)
    assert not result.successful and "at most 6" in result.reason
    assert tool.get("gain", "step", "shape") == [1.0, 1, "round"]


def test_what_rclpy_refuses_does_not_count_either(tool, changes):
    result = tool.set_atomically(step=2, use_sim_time="yes")
    assert not result.successful
    assert tool.get("step", "use_sim_time") == [1, False]
    assert changes.applied == []
    assert tool.set_atomically(step=2, use_sim_time=True).successful
    assert tool.get("step", "use_sim_time") == [2, True]

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

"""Start rclpy; what it refuses becomes one sentence with the value and what is valid."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.start.ros_environment import check_ros_environment

_NAMES = "names consist of letters, digits, '_' and '/', and do not begin with a digit"
# What follows a flag, and what to give. rcl's own reasons are about the states of its parser.
_FLAGS = {
    "-p": ("parameter", "give -p NAME:=VALUE, for example -p rate:=10.0; VALUE is YAML, '' for "
           "an empty text"),
    "-r": ("remapping", "give -r FROM:=TO, for example -r __node:=left_policy, -r __ns:=/left or "
           f"-r joint_states:=left/joint_states; {_NAMES}"),
    "--log-level": ("log level", "give debug, info, warn, error or fatal, for all loggers or as "
                    "LOGGER:=LEVEL"),
    "--params-file": ("parameter file", "give a YAML file of the form NODE: {ros__parameters: "
                      "{NAME: VALUE}}"),
    "--enclave": ("enclave", "give --enclave /NAME"),
}
_SHORT = {"--param": "-p", "--remap": "-r", "-e": "--enclave"}
_FORMS = "--ros-args -p NAME:=VALUE, -r FROM:=TO, --params-file FILE or --log-level LEVEL"


def start_ros(arguments: Sequence[str] | None = None, context: Context | None = None) -> None:
    """Initialize rclpy, without its signal handlers.

    They would shut the context down before a node can publish a hold.

    Args:
        arguments: of the node's process, its name first; all must be ROS arguments. None for a
            process that takes none.
        context: to be initialized; None for the default one.

    Raises:
        InputError: an environment variable or an argument that ROS cannot use.
    """
    check_ros_environment()
    arguments = ["", *(arguments or ())[1:]]
    with _one_sentence(), _quiet_parser():
        left_over = remove_ros_args(arguments)[1:]
    if left_over:
        raise InputError(f"Unknown argument {left_over[0]!r}; a node takes {_FORMS}, see "
                         "docs/reference.md for its parameters.")
    with _one_sentence():
        rclpy.init(args=arguments, context=context,
                   signal_handler_options=SignalHandlerOptions.NO)


@contextmanager
def node_creation() -> Iterator[None]:
    """Turn the middleware's refusal to create a node into an ``InputError``."""
    try:
        yield
    except RuntimeError as err:
        if not str(err).startswith("error creating node"):
            raise
        raise InputError(f"ROS cannot create the node: {_plain(str(err))}; check ROS_DOMAIN_ID, "
                         "ROS_STATIC_PEERS and the network.") from None


@contextmanager
def _quiet_parser() -> Iterator[None]:
    """Keep rcl from printing what the sentence says."""
    set_logger_level("rcl", LoggingSeverity.FATAL)
    try:
        yield
    finally:
        set_logger_level("rcl", LoggingSeverity.UNSET)


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except RuntimeError as err:  # of which rclpy derives its own errors
        raise InputError(_sentence(err)) from None


def _sentence(err: RuntimeError) -> str:
    if type(err).__name__ == "UnknownROSArgsError":
        return f"Unknown ROS arguments {err}; give {_FORMS}."
    text = _plain(str(err))
    match = re.search(r"Couldn't parse [\w ]+: '(-\S+) (.*)'\. Error: (.*)", text) or \
        re.search(r"Couldn't parse trailing (-\S+)() flag()", text)
    if match is None:
        check = "ROS_SECURITY_KEYSTORE and the enclave, because ROS_SECURITY_ENABLE is true" \
            if os.environ.get("ROS_SECURITY_ENABLE") == "true" else "what 'env | grep ROS' prints"
        return f"ROS does not start ({text}); check {check}."
    flag, value, reason = match.groups()
    kind, valid = _FLAGS.get(_SHORT.get(flag, flag), ("argument", f"give {_FORMS}"))
    if not value:
        return f"{flag} has no {kind}; {valid}."
    if kind == "parameter file" and not os.path.exists(value):
        reason = "there is no such file"
    about = "" if "lexeme" in reason or reason == "error not set" else f" ({reason})"
    return f"The {kind} {value!r} cannot be read{about}; {valid}."


def _plain(text: str) -> str:
    """Return rcl's message on one line, without the places in its source."""
    return re.sub(r", at [^\s,]+:\d+", "", " ".join(text.split()).replace(" , at ", ", at "))


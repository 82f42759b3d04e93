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

"""No class of ours overwrites what a base class of a library keeps for itself.

rclpy's Node has a ``_parameters``; a node that stores its own under that name ends with the first
tool that lists parameters. A node takes no name of its base at all. Other classes may replace
methods, which is what a base class is for, but must store nothing under a name of their base.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import pkgutil
import sys

import pytest

from tinyvla_ros.start.executables import PACKAGES

rclpy_node = pytest.importorskip("rclpy.node")

pytestmark = pytest.mark.slow  # imports everything

OURS = ("tinyvla_ros", "sim_bridge", "training")
# LifecycleNode documents these as the way to react to a transition.
TRANSITIONS = {f"on_{name}" for name in ("configure", "activate", "deactivate", "cleanup",
                                         "shutdown", "error")}
# Gymnasium wants an environment to store them. The executor puts its base's own back.
INTENDED = {name: {"metadata", "render_mode"}
            for name in ("ArmEnvironment", "MetaWorldEnv", "SO101Env")} | {
    "LeanExecutor": {"_guard"}}
# What every class has of its own.
OF_EVERY_CLASS = {*vars(type("Empty", (), {})), "__init__", "__annotations__", "__firstlineno__",
                  "__static_attributes__"}


def our_classes() -> list[type]:
    """Return the classes of all modules that can be imported here."""
    found = []
    for package in map(importlib.import_module, OURS):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(info.name)
            except ImportError:  # launch files' helpers need a ROS installation
                continue
            found += [c for c in vars(module).values()
                      if inspect.isclass(c) and c.__module__ == info.name]
    return found


def foreign_bases(cls: type) -> list[type]:
    """Return the base classes that are neither ours nor built in."""
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in OURS
            and base.__module__ != builtins.__name__]


@functools.cache
def definitions(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by their qualified names; none of one written in C."""
    def below(node: ast.AST, prefix: str) -> dict[str, ast.ClassDef]:
        found = {}
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name], name = child, f"{prefix}{child.name}."
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}.<locals>."
            found |= below(child, name)
        return found
    try:
        return below(ast.parse(inspect.getsource(sys.modules[module])), "")
    except (OSError, TypeError):
        return {}


@functools.cache
def stored(cls: type) -> frozenset[str]:
    """Return the names that the methods of one class store on their object."""
    tree = definitions(cls.__module__).get(cls.__qualname__)
    return frozenset() if tree is None else frozenset(
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)
        and isinstance(n.ctx, ast.Store | ast.Del) and isinstance(n.value, ast.Name)
        and n.value.id in ("self", "node"))


def overwritten(cls: type) -> set[str]:
    """Return the names that a class takes from its bases of libraries."""
    bases = foreign_bases(cls)
    taken = {name for base in bases for name in stored(base) | set(vars(base))} - OF_EVERY_CLASS
    of_ours = [c for c in cls.__mro__ if c.__module__.partition(".")[0] in OURS]
    own = {name for c in of_ours for name in stored(c)}
    if issubclass(cls, rclpy_node.Node):  # methods, properties and class attributes as well
        own |= {name for c in of_ours for name in vars(c)} - TRANSITIONS
    return own & taken


@pytest.fixture(scope="module")
def classes() -> list[type]:
    return our_classes()


def test_every_node_is_looked_at(classes):
    nodes = [c for c in classes if issubclass(c, rclpy_node.Node)]
    assert {c.__module__.rpartition(".")[2] for c in nodes} == set(PACKAGES)
    assert any("torch" in base.__module__ for c in classes for base in foreign_bases(c))


def test_no_class_overwrites_what_a_base_class_keeps(classes):
    found = {c.__qualname__: names for c in classes if (names := overwritten(c))}
    assert found == INTENDED


class Overwriting(rclpy_node.Node):
    """What the test must find: one name of the base in every way that it can be taken."""

    _services: list = []
    PARAM_REL_TOL = 1.0

    def __init__(self):
        self._parameters, self.mine = {}, 0
        self._clock: int = 0
        self._subscriptions += []
        with open("/dev/null") as self._logger:
            del self._timers

    @property
    def executor(self):
        return self.mine

    async def get_clock(self):
        self.mine += 1

    def mine_too(self, node):
        node._context = 0  # noqa: SLF001

    def on_configure(self, state):
        return state


class OverwritingFurther(Overwriting):
    """Derived from a node, not from rclpy's class."""

    def count_publishers(self, topic):
        return topic


def test_every_way_to_overwrite_is_found(monkeypatch):
    monkeypatch.setattr(__import__(__name__, fromlist="_"), "OURS", (*OURS, __name__.partition(
        ".")[0]))
    found = {"_services", "PARAM_REL_TOL", "_parameters", "_clock", "_subscriptions", "_logger",
             "_timers", "executor", "get_clock", "_context"}
    assert overwritten(Overwriting) == found
    assert overwritten(OverwritingFurther) == found | {"count_publishers"}

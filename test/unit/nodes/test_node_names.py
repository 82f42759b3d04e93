# SPDX-License-Identifier: Apache-2.0
"""No node overrides a method or stores an attribute that rclpy's own classes have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted([*ROOT.glob("tinyvla_ros/nodes/*.py"), *ROOT.glob("sim_bridge/nodes/*.py")])
BASES = ("Node", "LifecycleNode")
# LifecycleNode documents these as the way to react to a transition.
TRANSITIONS = {f"on_{name}" for name in ("configure", "activate", "deactivate", "cleanup",
                                         "shutdown", "error")}


def node_classes() -> dict[str, tuple[str, ast.ClassDef]]:
    """Return our classes that derive from one of rclpy's: name -> base and definition."""
    return {node.name: (base.id, node) for path in MODULES
            for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
            for base in node.bases if isinstance(base, ast.Name) and base.id in BASES}


def names_of(cls: ast.ClassDef) -> set[str]:
    """Return the names of a class's methods, and those that they store on ``self``."""
    methods = {n.name for n in cls.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    stored = {n.attr for n in ast.walk(cls) if isinstance(n, ast.Attribute)
              and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)
              and n.value.id == "self"}
    return methods | stored


@pytest.fixture(scope="module")
def taken():
    """Names of a Node and of a LifecycleNode: of the classes and of what they store."""
    rclpy = pytest.importorskip("rclpy")
    from rclpy.lifecycle import LifecycleNode
    from rclpy.node import Node

    context, names = rclpy.Context(), {}
    rclpy.init(context=context)
    for base in (Node, LifecycleNode):
        node = base("names", context=context)
        names[base.__name__] = set(dir(node)) - {"__init__", "__doc__", "__module__"}
        node.destroy_node()
    context.try_shutdown()
    return names


def test_the_nodes_are_found():
    assert {"PolicyNode", "EpisodeRecorderNode", "SimBridgeNode"} <= set(node_classes())


@pytest.mark.parametrize("name", node_classes())
def test_a_node_uses_no_name_of_its_base_class(name, taken):
    base, cls = node_classes()[name]
    assert "_parameters" in taken[base], "rclpy's own store of parameters"
    assert names_of(cls) & taken[base] <= TRANSITIONS

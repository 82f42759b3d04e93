# SPDX-License-Identifier: Apache-2.0
"""The simulator, imported by the tests that use it; some Pythons have none."""

from __future__ import annotations


def metaworld_env(*args, **kwargs):
    """Return a new ``MetaWorldEnv``."""
    from sim_bridge.metaworld_env import MetaWorldEnv
    return MetaWorldEnv(*args, **kwargs)

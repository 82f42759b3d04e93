# SPDX-License-Identifier: Apache-2.0
"""Every fault of ``benchmarks/fault_matrix.py`` once, on a real node; times are not judged."""

from __future__ import annotations

import math

import pytest
from _arm_rig import Rig
from fault_matrix import FAULTS, Outcome, repeat


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm made of messages, driven by a policy node in its own process."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start()
        yield rig


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_commands_stay_within_limits_and_the_arm_moves_again(rig, fault):
    outcome = Outcome()
    repeat(rig, fault, outcome)
    assert outcome.wrong == []
    assert outcome.recovered == 1
    if fault.expect == "hold":
        assert math.isfinite(outcome.holds_ms[0]), "no hold came"

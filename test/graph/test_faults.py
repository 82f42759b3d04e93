# SPDX-License-Identifier: Apache-2.0
"""Every fault of ``benchmarks/fault_matrix.py`` once, on a real node; times are not judged."""

from __future__ import annotations

import math

import pytest
from _arm_rig import Rig
from _faults import FAULTS
from fault_matrix import Outcome, repeat

# On a machine that stands still for half a second a chunk ends before anybody could hold.
ATTEMPTS = 3


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm made of messages, driven by a policy node in its own process."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start()
        yield rig


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_commands_stay_within_limits_and_the_arm_moves_again(rig, fault):
    for _ in range(ATTEMPTS):
        outcome = Outcome()
        repeat(rig, fault, outcome)
        assert outcome.wrong == []
        assert outcome.recovered == 1
        if fault.expect != "hold" or math.isfinite(outcome.holds_ms[0]):
            return
    pytest.fail(f"no hold came in {ATTEMPTS} attempts; the node said {rig.statuses[-20:]}")

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

"""From watched episodes to a monitor that knows successes, progress and what is new."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.policies import write_random_checkpoint
from harness.watched_world import LENGTH, World, episode, watched
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import MONITOR
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.monitor.monitor import LATE, UNFAMILIAR, Monitor
from tinyvla_ros.monitor.monitor_file import MonitorFile
from tinyvla_ros.monitor.score import novelty_ratios
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from tinyvla_ros.sequence.check import check_sequence
from tinyvla_ros.sequence.steps import Sequence
from training.monitor.calibrate import write_monitor
from training.monitor.novelty import (
    calibrate_novelty,
    fewest_successes,
    novelty_levels,
    novelty_of,
)
from training.monitor.watched_episodes import Watcher

FALSE_ALARMS = 0.05


@pytest.fixture(scope="module")
def made(tiny_checkpoint, tmp_path_factory):
    """A checkpoint with its monitor, and what it was made of."""
    path = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("watched") / "c")
    loaded = load_checkpoint(path)
    watcher = Watcher(loaded)
    episodes = [watched(watcher, episode(loaded.config, seed)) for seed in range(60)]
    write_monitor(loaded, episodes, FALSE_ALARMS, path / MONITOR)
    return path, watcher, episodes


def look(path, seen: list):
    policy, monitor = Policy(path, backend="torch"), Monitor.of(SavedCheckpoint.read(path))
    return [monitor.look(policy.network_inputs(o)[1], o.stamp_ns, o.instruction) for o in seen]


def test_of_further_successes_few_raise_an_alarm(made):
    path, watcher, _ = made
    alarms = [any(r.reason for r in look(path, episode(watcher.checkpoint.config, seed)))
              for seed in range(100, 130)]
    assert sum(alarms) <= 7  # 5 %, with 30 draws hardly more


def test_what_looks_different_raises_an_alarm_that_says_so(made):
    path, watcher, _ = made
    world = World(watcher.checkpoint.config, 200)
    readings = look(path, [world.at(n, n / LENGTH, color=float(n > 5)) for n in range(LENGTH)])
    assert not readings[5].reason
    assert readings[-1].reason == UNFAMILIAR and readings[-1].score >= 1.0


def test_what_takes_longer_raises_an_alarm_that_says_so(made):
    path, watcher, _ = made
    world = World(watcher.checkpoint.config, 201)
    readings = look(path, [world.at(n, min(0.5, n / LENGTH)) for n in range(6 * LENGTH)])
    assert not readings[LENGTH // 2].reason
    assert readings[-1].reason == LATE


def test_progress_rises_and_the_end_is_seen(made):
    path, watcher, _ = made
    readings = look(path, episode(watcher.checkpoint.config, 202))
    progress = [r.progress for r in readings]
    assert np.corrcoef(progress, np.arange(LENGTH))[0, 1] > 0.95
    assert readings[-1].done > 0.5 > readings[LENGTH // 2].done


def test_the_file_computes_what_was_calibrated(made):
    path, watcher, episodes = made
    distance, calibration = calibrate_novelty(episodes, FALSE_ALARMS, "")
    seen = episode(watcher.checkpoint.config, 203)
    levels = novelty_levels(novelty_of(distance, watched(watcher, seen)),
                            np.array([o.stamp_ns for o in seen]), calibration.pause)
    wanted = [max(novelty_ratios(level, calibration)) / calibration.threshold for level in levels]
    assert [r.score for r in look(path, seen)] == pytest.approx(wanted, rel=1e-3)


def test_an_episode_begins_anew_where_it_is_told(made):
    path, watcher, _ = made
    world = World(watcher.checkpoint.config, 204)
    policy, monitor = Policy(path, backend="torch"), Monitor.of(SavedCheckpoint.read(path))

    def judge(number: int, begins: bool = False):
        seen = world.at(number, 0.5)
        return monitor.look(policy.network_inputs(seen)[1], seen.stamp_ns, seen.instruction,
                            begins)

    readings = [judge(n) for n in range(6 * LENGTH)]
    assert readings[-1].reason == LATE
    assert judge(6 * LENGTH, begins=True).score < readings[-1].score / 2


def test_too_few_successes_are_refused(made):
    path, watcher, episodes = made
    few = episodes[:fewest_successes(FALSE_ALARMS) - 1]
    with pytest.raises(InputError) as refused:
        write_monitor(watcher.checkpoint, few, FALSE_ALARMS, path / "other.onnx")
    assert f"{len(few)} successful" in str(refused.value)
    assert not list(path.glob("other*"))


def test_the_monitor_of_other_weights_is_refused(made, tmp_path):
    path, watcher, _ = made
    other = tmp_path / "other"
    write_random_checkpoint(other, watcher.checkpoint.config, seed=1)
    shutil.copy(path / MONITOR, other)
    with pytest.raises(CheckpointError, match="was calibrated for checkpoint"):
        Monitor.of(SavedCheckpoint.read(other))


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:len(b) // 2], lambda b: b"no",
                                    lambda b: b.replace(b'"window"', b'"widow_"')])
def test_a_damaged_file_is_refused_in_a_sentence(made, tmp_path, damage):
    path, *_ = made
    (tmp_path / MONITOR).write_bytes(damage((path / MONITOR).read_bytes()))
    with pytest.raises(CheckpointError) as refused:
        MonitorFile(tmp_path / MONITOR)
    assert str(tmp_path / MONITOR) in str(refused.value) and "\n" not in str(refused.value)


def test_a_checkpoint_without_a_monitor_cannot_end_a_step_by_progress(made, tiny_checkpoint):
    path, watcher, _ = made
    words = watcher.checkpoint.config.instructions[0]
    sequence = Sequence.read(f"steps: [{{instruction: {words}, until: {{progress: 0.9}}}}]")
    check_sequence(sequence, path)
    with pytest.raises(InputError, match="monitor calibrate"):
        check_sequence(sequence, tiny_checkpoint)
    check_sequence(sequence, path, "hold")
    giving_up = Sequence.read(f"steps: [{{instruction: {words}, until: {{seconds: 1}}, "
                              "fails_if: {failure_score: 1}}]")
    check_sequence(giving_up, path)
    for action in ("hold", "off"):
        with pytest.raises(InputError, match="leave it at report"):
            check_sequence(giving_up, path, action)
    assert Monitor.of(SavedCheckpoint.read(tiny_checkpoint)) is None


def test_what_cannot_be_calibrated_with_is_said_by_the_command(tiny_checkpoint, tmp_path, capsys):
    for arguments in ([str(tmp_path / "none")], [str(tmp_path)], [str(tmp_path), "--false-alarms",
                                                                   "0"]):
        with_code = main(["monitor", "calibrate", str(tiny_checkpoint), *arguments])
        said = capsys.readouterr().err.strip()
        assert with_code == 2 and said.startswith("error:") and "\n" not in said


def test_tasks_that_take_turns_in_the_names_are_both_in_both_halves(made):
    _, watcher, _ = made
    config = watcher.checkpoint.config
    turns = []
    for seed in range(60):
        one, other = World(config, seed), World(config, 1000 + seed)
        turns += [
            watched(watcher, [one.at(n, n / 11) for n in range(12)], instruction="one"),
            watched(watcher, [other.at(n, 1 - n / 11, color=1.0) for n in range(12)],
                    instruction="other")]
    # Compared with the other task alone, each would be far from all that is known.
    assert calibrate_novelty(turns, FALSE_ALARMS, "")[1].threshold < 2.0


def test_the_smallest_number_of_successes_gives_a_file_that_can_be_read(made, tmp_path):
    _, watcher, episodes = made
    write_monitor(watcher.checkpoint, episodes[:fewest_successes(0.5)], 0.5, tmp_path / MONITOR)
    assert MonitorFile(tmp_path / MONITOR).calibration.successes == fewest_successes(0.5)
    short = [replace(e, features=e.features[:1], stamps_ns=e.stamps_ns[:1]) for e in episodes]
    write_monitor(watcher.checkpoint, short, FALSE_ALARMS, tmp_path / MONITOR)
    assert MonitorFile(tmp_path / MONITOR).calibration.threshold > 0.0


def test_shipped_monitors_fit_their_checkpoints():
    shipped = [p.parent for p in default_checkpoint().parent.glob(f"*/{MONITOR}")]
    assert len(shipped) >= 2
    for path in shipped:
        assert Monitor.of(SavedCheckpoint.read(path)).calibration.successes

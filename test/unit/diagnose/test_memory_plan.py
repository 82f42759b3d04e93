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

"""What a training step takes of memory, measured on the CPU."""

from __future__ import annotations

import gc

import pytest
import torch

from harness.small_training import SIZE, batch_of, built, load, small_recipe
from training.diagnose.memory_plan import StepMemory, measure_peak
from training.diagnose.one_batch import quiet_trainer, repeat_batch
from training.learning.batches import Batch
from training.learning.trainer import Trainer


def step_memory(recipe, data, size) -> StepMemory:
    """Measure steps of up to ``size`` observations."""
    def draw(n: int):
        options = recipe.optimization.model_copy(update={"batch_size": n})
        return batch_of(recipe.model_copy(update={"optimization": options}), data)
    memory = StepMemory(quiet_trainer(built(recipe, data), recipe, data, 1, "cpu"), draw)
    memory.measure(size)
    return memory


def test_every_measured_batch_is_on_the_device(dataset, monkeypatch):
    recipe = small_recipe(batch_size=4)
    data = load(dataset, recipe)
    moved, to = [], Batch.to
    monkeypatch.setattr(Batch, "to", lambda self, device: moved.append(to(self, device))
                        or moved[-1])
    seen, step = [], Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step", lambda self, batch, stop: seen.append(batch)
                        or step(self, batch, stop))
    step_memory(recipe, data, 4)
    assert seen and all(any(batch is there for there in moved) for batch in seen)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_plan_agrees_with_what_a_run_takes(dataset, precision):
    recipe = small_recipe(batch_size=64, precision=precision)
    data = load(dataset, recipe)
    batch = batch_of(recipe, data)
    whole = measure_peak(
        lambda: repeat_batch(built(recipe, data), recipe, data, batch, 2, "cpu"), "cpu")
    # numpy's memory is not the allocator's.
    images = 64 * len(recipe.cameras) * SIZE * SIZE * 3 / 1e6
    for measured in (8, 64):
        plan = step_memory(recipe, data, measured).plan(64)
        assert plan.total - images == pytest.approx(whole, rel=0.1)


def test_garbage_of_an_earlier_measurement_is_not_subtracted():
    def leave_garbage():
        cycle = [torch.zeros(1_000_000)]
        cycle.append(cycle)

    def work():
        gc.collect()
        torch.zeros(500_000)

    gc.disable()
    try:
        measure_peak(leave_garbage, "cpu")
        assert measure_peak(work, "cpu") == pytest.approx(2.0)
    finally:
        gc.enable()


def test_the_plan_knows_weights_and_what_goes_with_them(dataset):
    recipe = small_recipe()
    memory = step_memory(recipe, load(dataset, recipe), 16)
    plan, double = memory.plan(8), memory.plan(16)
    assert plan.gradients == plan.weights == plan.averaged
    assert plan.optimizer == pytest.approx(2 * plan.weights, rel=0.01)
    assert double.weights == plan.weights
    assert double.activations == pytest.approx(2 * plan.activations, rel=0.1)


def test_the_largest_batch_fits_and_one_more_does_not(dataset):
    recipe = small_recipe()
    memory = step_memory(recipe, load(dataset, recipe), 8)
    for limit in (5.0, 30.0, 3000.0):
        size = memory.largest_batch(limit)
        assert size > 1
        assert memory.plan(size).total <= limit < memory.plan(size + 1).total
    assert memory.largest_batch(memory.plan(1).total) >= 1
    assert memory.largest_batch(memory.plan(1).total - 0.01) == 0


def test_batches_that_do_not_fit_this_machine_are_not_measured(dataset):
    recipe = small_recipe()
    data = load(dataset, recipe)
    memory = step_memory(recipe, data, 2)
    memory.measure(64, free=memory.plan(16).activations)
    assert 2 <= memory.largest_measured < 16

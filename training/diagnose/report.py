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

"""The report of ``tinyvla diagnose``, for people and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, fields

from tinyvla_ros.core.tables import markdown_table
from training.diagnose.diagnosis import OVERFIT_BATCH, Diagnosis
from training.diagnose.memory_plan import MemoryPlan

LABELS = {"optimizer": "optimizer state", "averaged": "averaged weights"}


def report_data(diagnosis: Diagnosis) -> dict:
    """Return the content of the JSON report; what is not finite becomes null."""
    data = asdict(diagnosis)
    for name in ("plan", "largest_plan"):
        data[name]["total"] = getattr(diagnosis, name).total
    return _plain(data | {"problems": sum(f.error for f in diagnosis.findings),
                          "warnings": sum(not f.error for f in diagnosis.findings)})


def report_text(diagnosis: Diagnosis) -> str:
    """Return the report for people."""
    d = diagnosis
    parts = [f"{d.name} on {', '.join(d.data) or 'random data'}, {d.device}, {d.precision}",
             _output(d), _blocks(d), _channels(d), _cameras(d), _overfit(d), _memory(d),
             "\n".join(f"skipped: {text}" for text in d.skipped), _findings(d)]
    return "\n\n".join(part for part in parts if part)


def _output(d: Diagnosis) -> str:
    scale = d.output
    return (f"denoiser's output, one batch of {d.batch_size}: standard deviation {scale.std:.3g}, "
            f"loss {scale.loss:.4g} (for predicting zero {scale.zero_loss:.3g})")


def _blocks(d: Diagnosis) -> str:
    rows = [(b.name, f"{b.parameters}", f"{b.rms:.3g}", f"{b.gradient:.2e}",
             f"{100 * b.dead:.0f} %") for b in d.blocks]
    return markdown_table(("block", "weights", "rms", "gradient", "dead channels"), rows)


def _channels(d: Diagnosis) -> str:
    rows = [(c.name, *(f"{v:.4g}" for v in (c.low, c.mean, c.std, c.high)), f"{c.deviation:.1f}",
             *(f"{100 * v:.1f} %" if c.name.startswith("action") else ""
               for v in (c.at_limits, c.outside))) for c in d.channels]
    return rows and markdown_table(("channel", "min", "mean", "std", "max", "max |z|", "at limits",
                            "outside"), rows)


def _cameras(d: Diagnosis) -> str:
    rows = [(c.name, f"{c.brightness:.0f} of 255", f"{100 * c.blank:.0f} %",
             f"{100 * c.dark:.0f} %") for c in d.cameras]
    return rows and markdown_table(("camera", "brightness", "one color", "dark"), rows)


def _overfit(d: Diagnosis) -> str:
    o = d.overfit
    if o is None:
        return ""
    return (f"one batch of {min(d.batch_size, OVERFIT_BATCH)} for {o.steps} steps, learning rate "
            f"{o.learning_rate:g}: loss {o.first:.4g} -> {o.last:.3g} "
            f"({100 * o.last / o.first:.2g} %), highest {o.highest:.4g}")


def _memory(d: Diagnosis) -> str:
    here, largest = f"batch {d.batch_size}", f"batch {d.largest_batch or 1}"
    rows = [(LABELS.get(f.name, f.name), f"{getattr(d.plan, f.name):.1f}",
             f"{getattr(d.largest_plan, f.name):.1f}") for f in fields(MemoryPlan)]
    rows.append(("sum", f"{d.plan.total:.1f}", f"{d.largest_plan.total:.1f}"))
    fits = (f"the largest batch is {d.largest_batch}" if d.largest_batch
            else "not even batch 1 fits")
    return (f"{markdown_table(('memory of a step, MB', here, largest), rows)}\n"
            f"on {d.utilization:.0%} of {d.gpu_gb:g} GB ({1e3 * d.gpu_gb * d.utilization:.0f} MB) "
            f"{fits}")


def _findings(d: Diagnosis) -> str:
    problems = sum(f.error for f in d.findings)
    lines = [f"{problems} problem(s), {len(d.findings) - problems} warning(s)"]
    lines += [f"  {'problem' if f.error else 'warning'}: {f.text}" for f in d.findings]
    return "\n".join(lines)


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

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

"""The Markdown of an ablation."""

from __future__ import annotations

from tinyvla_ros.core.intervals import count_text
from tinyvla_ros.core.tables import markdown_table, number

COLUMNS = {
    "output_std_before": "output std before", "output_std_after": "after",
    "first_loss": "first loss", "max_loss": "max loss", "final_loss": "final loss",
    "held_out_noise_loss": "held-out loss, as noise",
    "gradient_norm": "median gradient norm"}
MEASURES = {"max_loss": "log10 of the maximum loss", "final_loss": "log10 of the final loss",
            "held_out_noise_loss": "log10 of the held-out loss, as noise"}


def markdown(result: dict) -> str:
    """Return the tables of ``ablation.json``'s content."""
    plan, cells = result["plan"], result["cells"]
    runs = len(result["runs"]), len(cells) * len(plan["seeds"])
    parts = [
        f"{runs[0]} of {runs[1]} runs: {len(plan['seeds'])} seeds of {len(cells)} recipes, "
        f"{plan['samples']} observations each (steps = observations / batch size), on "
        f"{', '.join(d['name'] for d in plan['data'])}. {result['machine']}, "
        f"{result['date'][:10]}.",
        "Loss and output. Median over seeds (smallest to largest).",
        _loss_table(plan["cells"], cells)]
    if plan["episodes"]:
        parts += [
            f"Success with the last checkpoint, {plan['episodes']} episodes per task and seed "
            f"(seeds from {plan['eval_seed']} on), pooled over training seeds; 95 % Wilson "
            "interval; then the rate of the worst and the best training seed.",
            _success_table(cells)]
    shares = _share_rows(result["shares"])
    if shares:
        parts += ["Share of the way from bad to good (range over seeds). Recovered: by this fix "
                  "alone; lost: when it alone is left out. Shares need not add up to 100 %.",
                  markdown_table(["measure", "bad", "good", "fix", "recovered", "lost"], shares)]
    return "\n\n".join(parts) + "\n"


def _loss_table(recipes: dict, cells: dict) -> str:
    rows = []
    for name, cell in cells.items():
        steps = recipes[name]["optimization"]["steps"]
        rows.append([name, str(steps), *(_spread(cell["figures"].get(f)) for f in COLUMNS),
                     str(cell["figures"].get("skipped", {}).get("high") or 0),
                     str(cell["diverged"])])
    return markdown_table(["recipe", "steps", *COLUMNS.values(), "skipped", "diverged"], rows)


def _success_table(cells: dict) -> str:
    tasks = list(dict.fromkeys(task for c in cells.values() for task in c["success"]))
    rows = [[name, *(_success(cell["success"].get(task)) for task in tasks)]
            for name, cell in cells.items()]
    return markdown_table(["recipe", *tasks], rows)


def _share_rows(shares: dict) -> list[list[str]]:
    rows = []
    for measure, share in shares.items():
        if share["bad"] is None or share["good"] is None:
            continue
        ends = [MEASURES.get(measure, measure), f"{share['bad']:.2f}", f"{share['good']:.2f}"]
        if share["fixes"] is None:
            rows.append([*ends, "seeds of bad and good overlap", "-", "-"])
        else:
            rows += [[*ends, fix, _share(row["recovered"]), _share(row["lost"])]
                     for fix, row in share["fixes"].items()]
    return rows


def _spread(metric: dict | None) -> str:
    if metric is None or metric["median"] is None:
        return "-"
    if metric["low"] == metric["high"]:
        return number(metric["median"])
    return f"{number(metric['median'])} ({number(metric['low'])} to {number(metric['high'])})"


def _success(row: dict | None) -> str:
    if row is None:
        return "-"
    seeds = row["seeds"].values()
    return f"{count_text(row)}, {100 * min(seeds):.0f} to {100 * max(seeds):.0f} %"


def _share(row: dict) -> str:
    if row["share"] is None:
        return "-"
    share, low, high = (round(100 * row[k]) for k in ("share", "low", "high"))
    return f"{share} %" if low == high else f"{share} % ({low} to {high})"

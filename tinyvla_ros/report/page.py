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

"""The episode report as one HTML page that needs nothing but itself; see ``templates``."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tinyvla_ros import __version__
from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.report.episode_data import EpisodeData
from tinyvla_ros.report.film import Film

# Marks a page of ours: another file is not overwritten.
GENERATOR = '<meta name="generator" content="tinyvla bag report">'
OUTCOME_WORDS = {"success": "succeeded", "failure": "failed", "unknown": "with unknown outcome"}
# Color of an outcome; its name is always shown as well.
TONES = {"success": "good", "failure": "bad", "aborted": "bad", "interrupted": "bad",
         "cut short": "bad"}
HISTOGRAM_BARS, HISTOGRAM_TICKS = 32, 4
STYLES = ("vendor/uplot/uPlot.min.css", "templates/report.css")
SCRIPTS = ("vendor/uplot/uPlot.iife.min.js", "templates/report.js")
UPLOT_LICENSE = "vendor/uplot/LICENSE"


@dataclass
class ReportEntry:
    """A bag on the page.

    Attributes:
        path: of the bag.
        name: of the bag, as shown.
        anchor: of its part of the page; empty if it is only in the table.
        data: None for a bag that cannot be read.
        error: why not.
        film: its images.
        notes: sentences about what was left out for lack of room.

    A page is shared, so its sentences have the bag's name in place of its path.
    """

    path: Path
    name: str
    anchor: str = ""
    data: EpisodeData | None = None
    error: str = ""
    film: Film = field(default_factory=Film)
    notes: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """Everything that is odd about it."""
        told = [*(self.data.notes if self.data else ()), *self.film.problems, *self.notes]
        return [self.without_path(sentence) for sentence in told]

    def without_path(self, sentence: str) -> str:
        """Return a sentence with the bag's name in place of its path."""
        return sentence.replace(str(self.path), self.name)


def render_page(title: str, entries: Sequence[ReportEntry], left_out: Sequence[str]) -> str:
    """Return the page.

    Args:
        title: of the run.
        entries: in the order they are shown.
        left_out: sentences about what the page lacks for lack of room.
    """
    read = [e for e in entries if e.data is not None]
    scripts = [_packaged(path) for path in SCRIPTS]
    return _environment().get_template("page.html").render(
        title=title, generator=Markup(GENERATOR), entries=read, left_out=left_out,
        damaged=[e.without_path(e.error) for e in entries if e.error], version=__version__,
        summary=_summary(read, len(entries) - len(read)), facts=_run_facts(read),
        rows=_outcome_rows(read), latency=histogram([v for e in read for v in e.data.latency_ms]),
        license=_packaged(UPLOT_LICENSE), styles=[_packaged(path) for path in STYLES],
        scripts=scripts,
        # Only these scripts run, whatever texts the bags have, and nothing is loaded.
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts))


def render_episode(entry: ReportEntry) -> str:
    """Return the part of the page about one episode, to know its size."""
    return _environment().get_template("episode.html").render(entry=entry, opened=False)


def page_bytes() -> int:
    """Return the size of a page's styles and scripts."""
    return sum(len(_packaged(path).encode()) for path in STYLES + SCRIPTS)


def _environment() -> Environment:
    env = Environment(loader=PackageLoader("tinyvla_ros.report"), autoescape=True,
                      trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    env.filters |= {"base64": lambda data: base64.b64encode(data).decode(), "counted": counted,
                    "duration": duration}
    env.globals |= {"facts_of": _episode_facts, "plots_of": _plots, "histogram_of": histogram,
                    "tones": TONES}
    return env


def _packaged(path: str) -> Markup:
    return Markup(files("tinyvla_ros.report").joinpath(path).read_text("utf-8"))


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def counted(count: int, what: str) -> str:
    """Return "1 episode", "2 episodes" and the like."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s"


def histogram(latency_ms: Sequence[float]) -> dict | None:
    """Return bars (height in percent, text), percentiles and ticks; None without values."""
    if not latency_ms:
        return None
    values = np.asarray(latency_ms)
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    # A few slow ones, such as the first, must not flatten the others: the last bar has them.
    step = max(min(values.max(), 2 * p95), 1.0) / HISTOGRAM_TICKS
    power = 10.0 ** np.floor(np.log10(step))
    end = HISTOGRAM_TICKS * power * next(
        m for m in (1, 1.5, 2, 3, 4, 5, 7.5, 10) if m * power >= step)
    counts, edges = np.histogram(np.minimum(values, end), HISTOGRAM_BARS, (0.0, end))
    return {
        "text": f"{counted(len(values), 'chunk')}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest "
                f"{values.max():.0f} ms",
        "bars": [(100 * n / counts.max(), f"{counted(n, 'chunk')} from {low:.0f} to {high:.0f} ms")
                 for n, low, high in zip(counts, edges, edges[1:], strict=False)],
        "marks": [(name, value, min(100.0, 100 * value / end))
                  for name, value in (("p50", p50), ("p99", p99))],
        "ticks": [f"{tick:g}" for tick in np.arange(HISTOGRAM_TICKS) * end / HISTOGRAM_TICKS]
                 + [f"{end:g} ms" + (" and more" if values.max() > end else "")]}


def _outcome_rows(entries: Sequence[ReportEntry]) -> list[dict]:
    """Return a row per task, and one for all if there are several."""
    tasks: dict[str, list[ReportEntry]] = {}
    for entry in entries:
        tasks.setdefault(entry.data.custom.get("task") or "task unknown", []).append(entry)
    rows = [_outcome_row(task, of_task) for task, of_task in sorted(tasks.items())]
    return rows + ([_outcome_row("all", entries, total=True)] if len(tasks) > 1 else [])


def _outcome_row(task: str, entries: Sequence[ReportEntry], total: bool = False) -> dict:
    data = [e.data for e in entries]
    successes = sum(d.outcome == "success" for d in data)
    tries = successes + sum(d.outcome == "failure" for d in data)
    low, high = wilson_interval(successes, tries)
    latency = [v for d in data for v in d.latency_ms]
    return {"task": task, "total": total, "episodes": len(data), "successes": successes,
            "tries": tries, "percent": 100 * successes / tries if tries else None,
            "low": 100 * low, "high": 100 * high,
            "duration": float(np.mean([d.duration_s for d in data])),
            "latency": np.percentile(latency, (50, 99)) if latency else None,
            "lost": sum(t.lost for d in data for t in d.info.topics),
            "dropped": sum(t.dropped for d in data for t in d.info.topics),
            "others": [] if total else [e for e in entries if e.data.outcome != "success"]}


def _summary(read: Sequence[ReportEntry], damaged: int) -> str:
    outcomes: dict[str, int] = {}
    for entry in read:
        outcomes[entry.data.outcome] = outcomes.get(entry.data.outcome, 0) + 1
    counts = ", ".join(f"{n} {OUTCOME_WORDS.get(outcome, outcome)}"
                       for outcome, n in sorted(outcomes.items(), reverse=True))
    return (f"{counted(len(read), 'episode')}{': ' if counts else ''}{counts}"
            f"{f'; {damaged} more cannot be read' if damaged else ''}.")


def _run_facts(read: Sequence[ReportEntry]) -> Mapping[str, str]:
    def joined(values) -> str:
        return "; ".join(dict.fromkeys(v for v in values if v)) or "not recorded"

    starts = [e.data.info.start_ns for e in read if e.data.info.start_ns]
    when = datetime.fromtimestamp(min(starts) / 1e9, timezone.utc).strftime(
        "%Y-%m-%d %H:%M UTC") if starts else "unknown"
    return {"Recorded": when,
            **{label: joined(e.data.custom.get(key) for e in read) for label, key in (
                ("Robot", "robot"), ("Checkpoint digest", "checkpoint_digest"),
                ("Backend", "backend"),
                ("Chunk blending", "join"))},
            "Versions": joined(e.data.recorded_by for e in read)}


def _episode_facts(data: EpisodeData) -> Mapping[str, str]:
    facts = {label: data.custom[key] for key, label in (
        ("instruction", "Instruction"), ("steps", "Steps"), ("held_steps", "Steps held"),
        ("real_time_factor", "Real-time factor"), ("cut_short", "Cut short"),
        ("begun_late_s", "Recorder began late by, s")) if key in data.custom}
    facts["Duration"] = f"{duration(data.duration_s)}, recorded in " \
        f"{duration(data.info.duration_s)}"
    if data.chunks:
        seams = sum(c.seam is not None for c in data.chunks)
        facts["Chunks"] = f"{len(data.chunks)}, {counted(seams, 'seam')}"
    if data.states:
        facts["Safety"] = f"{counted(data.count('intervention'), 'intervention')}, " \
            f"{counted(data.count('hold'), 'hold')}"
    return facts


def _plots(entry: ReportEntry) -> dict:
    """Return what the script draws; names are those of ``ChunkView`` and ``EpisodeData``."""
    data = entry.data
    names = data.chunks[0].channels if data.chunks else ()
    channels = []
    for i, name in enumerate(names):
        values = np.concatenate([c.rows[:, i] for c in data.chunks])
        values = [*values[np.isfinite(values)].tolist(), *data.limits.get(name, ())]
        channels.append({"name": name, "unit": data.units.get(name, ""),
                         "range": [min(values, default=0.0), max(values, default=1.0)]})
    return {
        "duration": round(data.duration_s, 4), "fps": entry.film.fps,
        "joints": [*data.joints, *data.wrenches],
        "channels": channels, "states": data.states,
        "events": [{"t": e.t, "kind": e.kind} for e in data.events],
        "chunks": [{"t": round(c.t, 4), "begin": round(c.begin, 4), "end": round(c.end, 4),
                    "dt": c.dt, "seam": _rounded(c.seam, 4), "latency": _rounded(c.latency_ms, 1),
                    "rows": [[_rounded(v, 4) for v in row] for row in c.rows.tolist()]}
                   for c in data.chunks]}


def _rounded(value: float | None, digits: int) -> float | None:
    """Return a number that JSON has; NaN and infinity become None."""
    return None if value is None or not math.isfinite(value) else round(value, digits)

# SPDX-License-Identifier: Apache-2.0
"""The episode report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path

from tinyvla_ros import __version__
from tinyvla_ros.report.data import EpisodeData
from tinyvla_ros.report.film import Film
from tinyvla_ros.report.tables import (
    TONES,
    duration,
    facts,
    histogram,
    notes,
    number,
    outcome_table,
    topic_table,
)

# Says whose page it is: a file without it is not overwritten.
GENERATOR = '<meta name="generator" content="tinyvla bag report">'
WORDS = {"success": "succeeded", "failure": "failed", "unknown": "with unknown outcome"}
SPEEDS = ("1", "0.5", "0.25", "2")


@dataclass
class Entry:
    """An episode on the page.

    Attributes:
        path: the bag.
        name: of the bag, as shown.
        anchor: of its part of the page; empty if it has none.
        data: None for a bag that cannot be read.
        error: why not.
        html: its part of the page.
    """

    path: Path
    name: str
    anchor: str = ""
    data: EpisodeData | None = None
    error: str = ""
    html: str = ""


def page(title: str, entries: Sequence[Entry], left_out: Sequence[str], versions: str) -> str:
    """Return the page.

    Args:
        title: of the run.
        entries: in the order they are shown, those without a part of their own included.
        left_out: sentences about what the page lacks for lack of room.
        versions: of what made the bags.
    """
    style, script = (files("tinyvla_ros.report").joinpath(f"report.{kind}").read_text("utf-8")
                     for kind in ("css", "js"))
    read = [e for e in entries if e.data is not None]
    shown = [e for e in read if e.html]
    damaged = [e.error for e in entries if e.error]
    latency = [v for e in read for v in e.data.latency_ms]
    # Only this script runs, whatever the bags' texts hold, and nothing is loaded from anywhere.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">', GENERATOR,
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; media-src blob:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>Episode report: {escape(title)}</title><style>{style}</style></head><body>",
        '<a class="skip" href="#episodes">Skip to the episodes</a>',
        f'<header class="top"><h1>Episode report: {escape(title)}</h1>',
        f'<p class="lead">{escape(_summary(read, len(damaged)))}</p>',
        facts(_run_facts(read, versions)), "</header><main>",
        notes(left_out, "What this page lacks"),
        '<section aria-labelledby="outcomes"><h2 id="outcomes">Outcomes</h2>',
        outcome_table([(e.anchor if e.html else "", e.name, e.data) for e in read]),
        '<p class="fine">Intervals are Wilson 95 %. Episodes that were aborted, interrupted or '
        "cut short, or whose outcome is unknown, are not counted as tries. Latency is from the "
        "arrival of an observation's first picture to that of its chunk, as the recorder saw "
        "it.</p></section>"]
    if latency:
        parts += ['<section aria-labelledby="latency"><h2 id="latency">Latency</h2>',
                  '<div class="card padded">', histogram(latency, "this run"), "</div></section>"]
    if damaged:
        parts += ['<section aria-labelledby="damaged"><h2 id="damaged">Bags that cannot be '
                  "read</h2>", notes(damaged, "", "bad"), "</section>"]
    parts += ['<section aria-labelledby="episodes"><h2 id="episodes">Episodes</h2>',
              "<noscript><p>Plots and videos need JavaScript; pictures and tables do not.</p>"
              "</noscript>"]
    parts += [e.html for e in shown] or ["<p>There is none to show.</p>"]
    parts += ['</section><footer class="fine">Made by <code>tinyvla bag report</code>, '
              f"tinyvla_ros {escape(__version__)}.</footer></main>",
              f"<script>{script}</script></body></html>\n"]
    return "\n".join(parts)


def episode_html(entry: Entry, film: Film, left_out: Sequence[str], opened: bool) -> str:
    """Return an episode's part of the page.

    Args:
        entry: with data and an anchor.
        film: its pictures.
        left_out: sentences about what it lacks for lack of room.
        opened: whether it is unfolded from the start.
    """
    data, custom = entry.data, entry.data.custom
    tone = TONES.get(data.outcome, "warn")
    about = [custom.get("task", "task unknown"),
             f"seed {custom['seed']}" if "seed" in custom else "", duration(data.duration_s)]
    thumb = f'<img class="thumb" alt="" src="{_data("image/jpeg", film.thumbnail)}">' \
        if film.thumbnail else ""
    parts = [
        f'<details class="episode card" id="{entry.anchor}"{" open" if opened else ""}>',
        f'<summary>{thumb}<span class="what"><strong>{escape(entry.name)}</strong>'
        f'<span>{escape(", ".join(a for a in about if a))}</span></span>'
        f'<span class="chip {tone}">{escape(data.outcome)}</span></summary><div class="inside">',
        facts(_episode_facts(data)),
        notes([*data.notes, *film.problems, *left_out], "About this recording")]
    parts += _stage(entry, film) if data.duration_s else []
    for camera, strip in film.strips.items():
        parts.append(_strip(camera, strip))
    parts += _plots(data)
    if data.latency_ms:
        parts += ["<h3>Latency</h3>", histogram(data.latency_ms, entry.name)]
    if data.events:
        count = number(len(data.events), "event")
        parts += [f'<details class="more"><summary>{count}</summary><ol class="events">',
                  *(f'<li><button type="button" data-t="{e.t}"><span>{e.t:.2f} s</span> '
                    f"{escape(e.kind)}: {escape(e.text)}</button></li>" for e in data.events),
                  "</ol></details>"]
    if data.info.topics:
        parts += [f'<details class="more"><summary>{number(len(data.info.topics), "topic")}, '
                  "rates and gaps</summary>", topic_table(data.info.topics), "</details>"]
    parts.append(f'<script type="application/json" class="data">{_plot_data(data, film.fps)}'
                 "</script>")
    if film.video:
        video = base64.b64encode(film.video).decode()
        parts.append(f'<script type="text/plain" class="video">{video}</script>')
    return "".join([*parts, "</div></details>"])


def _stage(entry: Entry, film: Film) -> list[str]:
    """Return the video and what moves the cursor that it shares with the plots."""
    last = f"{entry.data.duration_s:.3f}"
    scrub = (f'<input type="range" min="0" max="{last}" step="0.01" value="0" '
             'aria-label="Time, seconds"><output>0.00 s</output>')
    if not film.video:
        return [f'<div class="controls">{scrub}</div>']
    names = ", ".join(film.cameras)
    speeds = "".join(f'<option value="{s}">{s} x</option>' for s in SPEEDS)
    label = escape(f"Video of {entry.name}, cameras from left to right: {names}", quote=True)
    # The browser's own controls would cover most of a video as small as it is on a phone.
    return ['<div class="stage">',
            f'<video muted playsinline preload="auto" aria-label="{label}"></video>',
            f'<div class="controls"><button type="button" class="play">Play</button>{scrub}'
            f'<label>Speed <select>{speeds}</select></label>'
            '<button type="button" class="full">Full screen</button>'
            f'<span class="fine">{escape(names)}</span></div></div>']


def _strip(camera: str, strip: Sequence[tuple[float, bytes]]) -> str:
    frames = "".join(
        f'<button type="button" data-t="{t:.4f}"><img alt="{escape(camera, quote=True)} camera '
        f'at {t:.2f} s" src="{_data("image/jpeg", jpeg)}"><span>{t:.2f} s</span></button>'
        for t, jpeg in strip)
    return f'<h3>Camera {escape(camera)}</h3><div class="film">{frames}</div>'


def _plots(data: EpisodeData) -> list[str]:
    parts = []
    for kind, there, title, says in (
            ("actions", data.chunks or data.states, "Policy and actions",
             "State of the policy, actions, seams and latency over time"),
            ("joints", data.joints, "Joint positions", "Joint positions over time")):
        if not there:
            continue
        parts.append(
            f'<h3>{title}</h3><canvas class="plot" data-plot="{kind}" tabindex="0" role="slider" '
            f'aria-label="{says}; the arrow keys move the cursor" aria-valuemin="0" '
            f'aria-valuemax="{data.duration_s:.2f}" aria-valuenow="0"></canvas>')
        if kind == "actions" and data.chunks:
            parts.append('<p class="legend"><span><i class="done"></i>executed</span>'
                         '<span><i class="plan"></i>planned, then replaced</span>'
                         '<span><i class="seam"></i>seam: a chunk takes over; the bar is the '
                         "jump</span></p>")
    return parts


def _plot_data(data: EpisodeData, fps: int) -> str:
    channels = data.chunks[0].channels if data.chunks else ()
    plots = {
        "duration": round(data.duration_s, 4), "fps": fps, "joints": data.joints,
        "channels": channels, "unitNames": [data.units.get(c, "") for c in channels],
        "limits": [data.limits.get(c) for c in channels], "states": data.states,
        "events": [{"t": e.t, "kind": e.kind} for e in data.events],
        "chunks": [{"t": round(c.t, 4), "begin": round(c.begin, 4), "end": round(c.end, 4),
                    "dt": c.dt, "seam": None if c.seam is None else round(c.seam, 4),
                    "latency": None if c.latency_ms is None else round(c.latency_ms, 1),
                    "rows": [[round(float(v), 4) if v == v else None for v in row]
                             for row in c.rows]} for c in data.chunks]}
    # "</script>" in a text must not end the script it is in.
    return json.dumps(plots, separators=(",", ":")).replace("<", "\\u003c")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _summary(read: Sequence[Entry], damaged: int) -> str:
    outcomes: dict[str, int] = {}
    for entry in read:
        outcomes[entry.data.outcome] = outcomes.get(entry.data.outcome, 0) + 1
    count = number(len(read), "episode")
    told = ", ".join(f"{n} {WORDS.get(outcome, outcome)}"
                     for outcome, n in sorted(outcomes.items(), reverse=True))
    unread = f"; {damaged} more cannot be read" if damaged else ""
    return f"{count}{': ' if told else ''}{told}{unread}."


def _run_facts(read: Sequence[Entry], versions: str) -> Mapping[str, str]:
    def of(key: str) -> str:
        values = dict.fromkeys(e.data.custom[key] for e in read if e.data.custom.get(key))
        return ", ".join(values) or "not recorded"
    starts = [e.data.info.start_ns for e in read if e.data.info.start_ns]
    when = datetime.fromtimestamp(min(starts) / 1e9, timezone.utc).strftime(
        "%Y-%m-%d %H:%M UTC") if starts else "unknown"
    return {"Recorded": when, "Robot": of("robot"), "Checkpoint digest": of("checkpoint_digest"),
            "Joining of chunks": of("join"), "Versions": versions}


def _episode_facts(data: EpisodeData) -> Mapping[str, str]:
    custom = data.custom
    result = {label: custom[key] for key, label in (
        ("instruction", "Instruction"), ("steps", "Steps"), ("held_steps", "Steps held"),
        ("real_time_factor", "Real-time factor"), ("cut_short", "Cut short"),
        ("begun_late_s", "Recorder began late by, s")) if key in custom}
    result["Duration"] = f"{duration(data.duration_s)}, recorded in " \
        f"{duration(data.info.duration_s)}"
    if data.chunks:
        seams = sum(c.seam is not None for c in data.chunks)
        result["Chunks"] = f"{len(data.chunks)}, {number(seams, 'seam')}"
    if data.states:
        result["Safety"] = f"{number(data.count('intervention'), 'intervention')}, " \
            f"{number(data.count('hold'), 'hold')}"
    return result

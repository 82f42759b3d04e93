# SPDX-License-Identifier: Apache-2.0
"""Tables and lists of the episode report, as HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from tinyvla_ros.bags.info import TopicInfo
from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.report.data import EpisodeData

# How an outcome is colored; the word is always there as well.
TONES = {"success": "good", "failure": "bad", "aborted": "bad", "interrupted": "bad",
         "cut short": "bad"}
UNKNOWN_TASK = "task unknown"
# Facts of so many characters get the room of two.
LONG_FACT, WIDE = 20, ' class="wide"'


def facts(values: Mapping[str, str]) -> str:
    """Return names and values as a list."""
    items = "".join(f"<div{WIDE if len(v) > LONG_FACT else ''}><dt>{escape(k)}</dt>"
                    f"<dd>{escape(v)}</dd></div>" for k, v in values.items())
    return f'<dl class="facts">{items}</dl>'


def notes(sentences: Sequence[str], label: str, tone: str = "") -> str:
    """Return sentences as a box, nothing if there are none."""
    if not sentences:
        return ""
    named = f' aria-label="{escape(label, quote=True)}"' if label else ""
    items = "".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f'<ul class="notes {tone}"{named}>{items}</ul>'


def number(count: int, what: str) -> str:
    """Return a number of things."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s"


def histogram(latency_ms: Sequence[float], what: str) -> str:
    """Return a histogram of latencies; the script draws it, a sentence says what matters."""
    p50, p99 = np.percentile(latency_ms, (50, 99))
    text = f"{number(len(latency_ms), 'chunk')}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest " \
        f"{max(latency_ms):.0f} ms"
    values = json.dumps([round(v, 1) for v in latency_ms], separators=(",", ":"))
    return (f'<canvas role="img" aria-label="{escape(f"Latency of {what}. {text}", quote=True)}" '
            f'data-p50="{p50:.1f}" data-p99="{p99:.1f}" data-values="{values}"></canvas>'
            f'<p class="fine">{text}</p>')


def outcome_table(episodes: Sequence[tuple[str, str, EpisodeData]]) -> str:
    """Return a row per task, and one for all if there are several.

    Args:
        episodes: (anchor on the page or nothing, name, data).
    """
    tasks: dict[str, list] = {}
    for episode in episodes:
        tasks.setdefault(episode[2].custom.get("task") or UNKNOWN_TASK, []).append(episode)
    if not tasks:
        return "<p>No bag could be read.</p>"
    rows = [_outcome_row(task, of_task) for task, of_task in sorted(tasks.items())]
    if len(tasks) > 1:
        rows.append(_outcome_row("all", episodes, "all"))
    labels = (("Task", 0), ("Episodes", 1), ("Success", 1), ("95 % interval", 0),
              ("Mean duration", 1), ("Latency p50 / p99", 1), ("Lost / dropped", 1),
              ("To look at", 0))
    head = "".join(f'<th scope="col"{_number(n)}>{label}</th>' for label, n in labels)
    return ('<div class="card scroll" role="region" aria-label="Outcomes by task" tabindex="0">'
            f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
            "</table></div>")


def _outcome_row(task: str, episodes: Sequence[tuple[str, str, EpisodeData]],
                 kind: str = "") -> str:
    data = [d for _, _, d in episodes]
    successes = sum(d.outcome == "success" for d in data)
    tries = successes + sum(d.outcome == "failure" for d in data)
    low, high = wilson_interval(successes, tries)
    latency = [v for d in data for v in d.latency_ms]
    p50, p99 = np.percentile(latency, (50, 99)) if latency else (None, None)
    lost = sum(t.lost for d in data for t in d.info.topics)
    dropped = sum(t.dropped for d in data for t in d.info.topics)
    links = "" if kind else _links(episodes)
    bar = (f'<div class="interval" role="img" aria-label="{100 * successes / tries:.0f} %, '
           f'interval {100 * low:.0f} to {100 * high:.0f} %">'
           f'<i style="left:{100 * low:.1f}%;right:{100 - 100 * high:.1f}%"></i>'
           f'<b style="left:{100 * successes / tries:.1f}%"></b></div>') if tries else ""
    cells = (
        ("Episodes", 1, str(len(data))),
        ("Success", 1, f"{successes} of {tries}" + (
            f" ({100 * successes / tries:.0f} %)" if tries else "")),
        ("95 % interval", 0, f"<div>{100 * low:.0f}-{100 * high:.0f} %{bar}</div>" if tries
         else "-"),
        ("Mean duration", 1, duration(float(np.mean([d.duration_s for d in data])))),
        ("Latency p50 / p99", 1, f"{p50:.0f} / {p99:.0f} ms" if latency else "-"),
        ("Lost / dropped", 1, f"{lost} / {dropped}"),
        ("To look at", 0, links))
    body = "".join(f'<td{_number(n)} data-label="{label}">{value}</td>'
                   for label, n, value in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(task)}</th>{body}</tr>'


def _links(episodes: Sequence[tuple[str, str, EpisodeData]]) -> str:
    """Link every episode that did not succeed to its pictures."""
    items = []
    for anchor, name, data in episodes:
        if data.outcome == "success":
            continue
        seed = f"seed {data.custom['seed']}" if "seed" in data.custom else name
        text = escape(f"{seed}: {data.outcome}")
        items.append(f'<li><a href="#{anchor}">{text}</a></li>' if anchor
                     else f"<li>{text}</li>")
    return f'<ul class="links">{"".join(items)}</ul>' if items else ""


def topic_table(topics: Sequence[TopicInfo]) -> str:
    """Return rates, gaps and losses of topics."""
    labels = ("messages", "Hz", "longest pause, ms", "gaps", "lost", "dropped")
    head = '<th scope="col">topic</th>' + "".join(
        f'<th scope="col" class="number">{label}</th>' for label in labels)
    rows = []
    for t in topics:
        values = (t.count, f"{t.rate_hz:.1f}", f"{t.longest_ms:.0f}", t.gaps, t.lost, t.dropped)
        cells = "".join(f'<td class="number" data-label="{label}">{value}</td>'
                        for label, value in zip(labels, values, strict=True))
        rows.append(f'<tr><th scope="row"><code>{escape(t.name)}</code></th>{cells}</tr>')
    return ('<div class="scroll" role="region" aria-label="Topics" tabindex="0">'
            f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
            "</table></div><p class=\"fine\">By receive time; a gap is a pause of more than three "
            "median periods.</p>")


def _number(is_number: int) -> str:
    return ' class="number"' if is_number else ""

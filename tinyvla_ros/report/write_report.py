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

"""Write one self-contained HTML page about a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tinyvla_ros.bags.metadata import read_information
from tinyvla_ros.bags.reader import Bag, bag_name, discarded_bags, find_bags
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import replace_file
from tinyvla_ros.report.episode_data import read_episode
from tinyvla_ros.report.film import ImageStore, make_film
from tinyvla_ros.report.page import (
    GENERATOR,
    ReportEntry,
    counted,
    page_bytes,
    render_episode,
    render_page,
)

# Failed episodes come first, and get so many times the room.
ORDER = ("failure", "aborted", "discarded", "cut short", "interrupted", "unknown", "success")
FAILED_SHARE = 3
# In the strip of every camera.
STRIP_IMAGES = 8
# Base64 turns three bytes into four.
TEXT_PER_BYTE = 4 / 3
# The tables of the run, bytes.
TABLE_BYTES = 40_000
LOG_SECONDS = 10.0
# Episodes named in one sentence.
MAX_NAMES = 5


@dataclass(frozen=True)
class WrittenReport:
    """A page: its episodes and bytes; why bags are missing and what did not fit, in sentences."""

    episodes: int
    bytes: int
    damaged: tuple[str, ...]
    left_out: tuple[str, ...]


def write_report(bags: Path, out: Path, episodes: int | None = None, max_mb: float = 30.0
                 ) -> WrittenReport:
    """Write the page about a bag or a folder of bags.

    Args:
        bags: the bag or the folder.
        out: page to write.
        episodes: show so many with images and plots, failed ones first; None for all.
        max_mb: size the page may have, 10^6 bytes.

    Raises:
        InputError: there are no bags, or the page cannot be written.
    """
    entries = [ReportEntry(path, bag_name(path)) for path in find_bags(bags)]
    _check_out(out)
    left_out = _read_bags(entries, episodes or len(entries), int(max_mb * 1e6))
    if discarded := discarded_bags(bags):
        left_out.append(f"Not in the report: {counted(len(discarded), 'discarded episode')}.")
    # The last folder is often called "episodes", so the one above is named as well.
    title = "/".join(bags.resolve().parts[-2:]).lstrip("/")
    text = render_page(title, entries, left_out)
    replace_file(out, lambda part: part.write_text(text, encoding="utf-8"))
    damaged = tuple(e.error for e in entries if e.error)
    return WrittenReport(len(entries) - len(damaged), len(text.encode()), damaged,
                         tuple(left_out))


def _check_out(out: Path) -> None:
    """Refuse an output that cannot be written, or would replace another file."""
    if out.is_dir():
        raise InputError(f"--out {out} is a directory; give the name of a file, for example "
                         f"{out / 'report.html'}.")
    try:
        ours = not out.exists() or GENERATOR.encode() in out.open("rb").read(500)
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out.with_name(out.name + ".test"), Path.touch)
        out.with_name(out.name + ".test").unlink()
    except OSError as err:
        raise InputError(f"--out {out} cannot be written ({err.strerror}); give a file in a "
                         "writable directory.") from None
    if not ours:
        raise InputError(f"--out {out} exists and is not a report; give another name.")


def _read_bags(entries: list[ReportEntry], wanted: int, max_bytes: int) -> list[str]:
    """Read every bag once and sort them; return sentences about what did not fit.

    Args:
        entries: one per bag; their data, films and anchors are filled in.
        wanted: so many get a part of the page.
        max_bytes: of the page.
    """
    # How much room a film has depends on the other episodes, of which only metadata is read yet.
    outcomes = {e.path: _recorded_outcome(e.path) for e in entries}
    entries.sort(key=lambda e: _rank(outcomes[e.path]))
    room, left = max_bytes - page_bytes() - TABLE_BYTES, wanted
    without: dict[str, list[str]] = {"the video": [], "all images": [], "some images": []}
    # A log gets a line every ten seconds.
    interval = 0.1 if sys.stderr.isatty() else LOG_SECONDS
    for i, entry in enumerate(tqdm(entries, "report", unit="bag", mininterval=interval)):
        weights = [1 if outcomes[e.path] == "success" else FAILED_SHARE
                   for e in entries[i:i + left]]
        try:
            missing = _read_bag(entry, int(room * weights[0] / sum(weights)) if left else None)
        except InputError as err:
            entry.error = str(err)
            continue
        if left:
            left -= 1
            entry.anchor = "shown"
            room -= len(render_episode(entry).encode())
            for what in missing:
                without[what].append(entry.name)
    entries.sort(key=lambda e: _rank(e.data.outcome if e.data else ""))
    shown = [e for e in entries if e.anchor]
    for i, entry in enumerate(shown):
        entry.anchor = f"episode-{i + 1}"
    limit = f"{max_bytes / 1e6:g} MB (--max-mb)"
    left_out = [f"Left out to stay below {limit}: {what} of {_first_names(names)}."
                for what, names in without.items() if names]
    if room < 0:
        left_out.append(f"Tables and plots alone need more than {limit}; --episodes shows fewer.")
    others = len([e for e in entries if e.data]) - len(shown)
    if others:
        left_out.append(f"Only in the table: {counted(others, 'episode')} (--episodes).")
    return left_out


def _recorded_outcome(path: Path) -> str:
    try:
        return read_information(path).get("custom_data", {}).get("outcome", "unknown")
    except InputError:
        return "unknown"


def _rank(outcome: str) -> int:
    return ORDER.index(outcome) if outcome in ORDER else len(ORDER)


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _read_bag(entry: ReportEntry, share: int | None) -> list[str]:
    """Read a bag, with its film if it has a share of the page; return what did not fit.

    Raises:
        InputError: the bag is damaged.
    """
    with Bag(entry.path) as bag, ImageStore() as store:
        entry.data = read_episode(bag, None if share is None else store)
        if share is None or not entry.data.cameras:
            return []
        plain = len(render_episode(entry).encode())
        most = max(0, int((share - plain) / TEXT_PER_BYTE))
        film = make_film(store, entry.data.cameras, entry.data.duration_s, STRIP_IMAGES, most)
    missing = []
    if film.strip_bytes > most - len(film.video):
        film.strips, film.thumbnail = {}, b""
        missing.append("all images")
    elif film.thinned:
        missing.append("some images")
    if not film.video and not film.problems:
        missing.append("the video")
    entry.film = film
    if missing:
        entry.notes = [f"Left out, because the page would be too large: {', '.join(missing)}."]
    return missing

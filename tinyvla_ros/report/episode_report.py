# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about a run: outcomes, pictures, videos, plots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tinyvla_ros.bags.metadata import METADATA
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.core.configuration import read_yaml
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import replace_file
from tinyvla_ros.report.data import read_episode
from tinyvla_ros.report.film import Film, film
from tinyvla_ros.report.page import GENERATOR, Entry, episode_html, page
from tinyvla_ros.report.tables import number

# What went wrong comes first, and gets so many times the room.
ORDER = ("failure", "aborted", "cut short", "interrupted", "unknown", "success")
FAILED_SHARE = 3
# Of every camera in every episode.
PICTURES = 8
# Base64 makes three bytes four.
TEXT_PER_BYTE = 4 / 3
# Styles, script and tables that belong to no episode, bytes.
FRAME_BYTES = 60_000
LOG_SECONDS = 10.0
# Episodes named in one sentence.
MOST_NAMED = 5


@dataclass(frozen=True)
class WrittenReport:
    """What became of a page.

    Attributes:
        episodes: on the page.
        bytes: size of the page.
        damaged: why bags are not on it, a sentence each.
        left_out: what does not fit into the size, a sentence each.
    """

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
    paths = find_bags(bags)
    _check_out(out)
    # A log file gets a line every ten seconds.
    interval = 0.1 if sys.stderr.isatty() else LOG_SECONDS
    wanted = min(len(paths), episodes or len(paths))
    with tqdm(total=len(paths) + wanted, desc="report", unit="step", mininterval=interval) as bar:
        entries = []
        for path in paths:
            entries.append(_read(path))
            bar.update()
        wanted = min(wanted, sum(e.data is not None for e in entries))
        bar.total = len(paths) + wanted
        entries.sort(key=lambda e: ORDER.index(e.data.outcome) if e.data is not None
                     and e.data.outcome in ORDER else len(ORDER))
        left_out = _show(entries, wanted, int(max_mb * 1e6), bar)
    # The last folder is often called "episodes", which says little.
    title = "/".join(bags.resolve().parts[-2:]).lstrip("/")
    text = page(title, entries, left_out, _versions(paths))
    replace_file(out, lambda part: part.write_text(text, encoding="utf-8"))
    damaged = tuple(e.error for e in entries if e.error)
    return WrittenReport(len(entries) - len(damaged), len(text.encode()), damaged,
                         tuple(left_out))


def _check_out(out: Path) -> None:
    """Say before any work is done if the page cannot be written, or would replace another file."""
    if out.is_dir():
        raise InputError(f"--out {out} is a directory; give the name of a file, for example "
                         f"{out / 'report.html'}.")
    try:
        if out.exists() and GENERATOR not in out.open(encoding="utf-8").read(500):
            raise InputError(f"--out {out} is there already and no report; give another name.")
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out.with_name(out.name + ".test"), Path.touch)
        out.with_name(out.name + ".test").unlink()
    except UnicodeDecodeError:
        raise InputError(f"--out {out} is there already and no report; give another name."
                         ) from None
    except OSError as err:
        raise InputError(f"--out {out} cannot be written ({err.strerror}); give a place you may "
                         "write to.") from None


def _read(path: Path) -> Entry:
    entry = Entry(path, path.stem if path.is_file() else path.name)
    try:
        with Bag(path) as bag:
            entry.data = read_episode(bag)
    except InputError as err:
        entry.error = str(err)
    return entry


def _show(entries: Sequence[Entry], wanted: int, most_bytes: int, bar: tqdm) -> list[str]:
    """Make the parts of the page; return sentences about what did not fit."""
    shown = [e for e in entries if e.data is not None][:wanted]
    weights = [1 if e.data.outcome == "success" else FAILED_SHARE for e in shown]
    room = most_bytes - FRAME_BYTES
    without: dict[str, list[str]] = {"the video": [], "all pictures": [], "some pictures": []}
    for i, entry in enumerate(shown):
        entry.anchor = f"episode-{i + 1}"
        share = max(0, int(room * weights[i] / sum(weights[i:])))
        missing = _fill(entry, share, opened=i == 0)
        for what in missing:
            without[what].append(entry.name)
        room -= len(entry.html.encode())
        bar.update()
    limit = f"{most_bytes / 1e6:g} MB (--max-mb)"
    left_out = [f"Left out to stay below {limit}: {what} of {_some(names)}."
                for what, names in without.items() if names]
    if room < 0:
        left_out.append(f"Tables and plots alone need more than {limit}; --episodes shows fewer.")
    others = len([e for e in entries if e.data is not None]) - len(shown)
    if others:
        left_out.append(f"Only in the table: {number(others, 'episode')} (--episodes).")
    return left_out


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _fill(entry: Entry, share: int, opened: bool) -> list[str]:
    """Make an episode's part of the page; return what of it did not fit."""
    plain = len(episode_html(entry, Film(), [], opened).encode())
    pictures, missing = Film(), []
    if entry.data.cameras:
        most = max(0, int((share - plain) / TEXT_PER_BYTE))
        try:
            with Bag(entry.path) as bag:
                pictures = film(bag, entry.data.cameras, entry.data.duration_s, PICTURES, most)
        except InputError as err:
            pictures.problems.append(str(err))
        if pictures.strip_bytes > most - len(pictures.video):
            pictures.strips, pictures.thumbnail = {}, b""
            missing.append("all pictures")
        elif pictures.thinned:
            missing.append("some pictures")
        if not pictures.video and not pictures.problems:
            missing.append("the video")
    why = [f"Left out, because the page would be too large: {', '.join(missing)}."] \
        if missing else []
    entry.html = episode_html(entry, pictures, why, opened)
    return missing


def _versions(paths: Sequence[Path]) -> str:
    """Return what the bags say of the software that made them."""
    found = {}
    for path in paths:
        try:
            info = read_yaml(path / METADATA)["rosbag2_bagfile_information"]
            found[f"ROS {info.get('ros_distro') or 'unknown'}, "
                  f"{info.get('storage_identifier')}"] = None
        except (InputError, KeyError, TypeError):
            continue
    return "; ".join(found) or "not recorded"

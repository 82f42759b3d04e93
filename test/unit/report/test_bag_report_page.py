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

"""The episode report in a real browser: it plays, seeks, zooms, fits a phone and loads nothing."""

from __future__ import annotations

import re

import pytest

from harness.browser import Page, chromium, webdriver
from harness.recorded_episodes import write_run
from tinyvla_ros.cli.main import run_command

FAILED, SUCCEEDED = "#episode-1", "#episode-2"
DURATION = 1.95


def show(page, path, fragment: str = "") -> None:
    page.open(path.as_uri() + fragment)
    page.wait("document.documentElement.dataset.ready")


def cursor(page, episode: str = FAILED) -> float:
    return float(page.js(f"document.querySelector('{episode}').dataset.cursor"))

@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    out = folder / "report.html"
    run_command(["bag", "report", str(write_run(folder / "run")), "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def desktop():
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def phone():
    with chromium(width=360, height=740, pixelRatio=2.0, touch=True) as page:
        yield page


@pytest.fixture
def page(desktop, path):
    show(desktop, path)
    yield desktop
    assert desktop.problems() == []
    assert desktop.requests() <= {path.as_uri()}


def video(page: Page, what: str):
    page.wait(f"document.querySelector('{FAILED} video').readyState >= 2")
    return page.js(f"document.querySelector('{FAILED} video').{what}")


def plot(kind: str, number: int = 1) -> str:
    return f"{FAILED} [data-plot={kind}] .uplot:nth-child({number}) .u-over"


def values(page: Page, kind: str) -> list[str]:
    """Return the value beside the name of every plot."""
    return page.js(f"[...document.querySelectorAll('{FAILED} [data-plot={kind}] .u-series "
                   "+ .u-series .u-value')].map(e => e.textContent)")


def test_video_plays_and_moves_the_cursor(page):
    assert video(page, "error") is None
    assert video(page, "duration") == pytest.approx(2.0, abs=0.05)
    assert (video(page, "videoWidth"), video(page, "videoHeight")) == (128, 48)
    page.click(f"{FAILED} .play")
    page.wait(f"document.querySelector('{FAILED} video').currentTime > 0.3")
    page.click(f"{FAILED} .play")
    page.wait(f"document.querySelector('{FAILED} video').paused")
    assert cursor(page) == pytest.approx(video(page, "currentTime"), abs=0.2)


@pytest.mark.parametrize("kind", ["actions", "joints"])
def test_a_click_on_a_plot_seeks_the_video(page, kind):
    video(page, "duration")
    page.click(plot(kind, 2), right=0.75)
    page.wait(f"document.querySelector('{FAILED}').dataset.cursor > 0")
    assert cursor(page) == pytest.approx(0.75 * DURATION, abs=0.03)
    page.wait(f"!document.querySelector('{FAILED} video').seeking")
    assert video(page, "currentTime") == pytest.approx(cursor(page), abs=0.01)
    now = page.js(f"[...document.querySelectorAll('{FAILED} .film button.now')]"
                  ".map(b => b.dataset.t)")
    assert [float(t) for t in now] == [1.35, 1.35]  # the newest images at that time
    place = page.element(f"{FAILED} [data-plot={kind}]")
    page.driver.execute_script("arguments[0].focus()", place)
    place.send_keys(webdriver.Keys.ARROW_RIGHT)
    assert cursor(page) == pytest.approx(0.75 * DURATION + 0.05, abs=0.03)
    place.send_keys(webdriver.Keys.HOME)
    assert cursor(page) == 0.0


def test_values_follow_the_cursor_and_the_mouse(page):
    assert values(page, "actions") == ["running", "-", "-", "-"]  # the first chunk is late
    page.click(f"{FAILED} .film button:last-child")
    assert cursor(page) == pytest.approx(DURATION)
    # Row 2 of the last chunk, and the last joint state.
    assert values(page, "actions") == ["running", "1.820", "0.040", "30.0"]
    assert values(page, "joints") == ["0.999", "-0.999"]
    page.mouse_at(plot("joints"), right=0.6).perform()
    assert values(page, "actions")[0] == "holding"
    assert cursor(page) == pytest.approx(DURATION)
    page.mouse_at(f"{FAILED} summary", right=0.5).perform()
    assert values(page, "actions")[0] == "running"


def test_dragging_zooms_all_plots_and_a_double_click_resets_them(page):
    def drawn() -> list[str]:
        return page.js(f"[...document.querySelectorAll('{FAILED} canvas')]"
                       ".map(c => c.toDataURL())")

    whole = drawn()
    assert len(whole) == len(set(whole)) == 4 + 2
    page.mouse_at(plot("joints"), right=0.5).click_and_hold().move_by_offset(200, 0).release(
        ).perform()
    assert all(a != b for a, b in zip(whole, drawn(), strict=True))
    assert cursor(page) == 0.0, "a drag is no click"
    page.mouse_at(plot("joints"), right=0.5).double_click().perform()
    page.click(f"{FAILED} .film button:first-child")
    assert drawn() == whole


def test_links_and_events_lead_to_the_images(page, path):
    assert page.js(f"document.querySelector('{SUCCEEDED}').open") is False
    show(page, path, SUCCEEDED)
    page.wait(f"document.querySelector('{SUCCEEDED}').open")
    page.js(f"document.querySelector('{SUCCEEDED} details.more').open = true")
    page.wait(f"document.querySelector('{SUCCEEDED}').dataset.cursor")
    page.click(f"{SUCCEEDED} ol.events li:nth-child(2) button", right=0.2)
    assert cursor(page, SUCCEEDED) == pytest.approx(1.0)


def test_a_browser_without_the_codec_shows_a_note(tmp_path, desktop, path):
    text = re.sub(r'class="video">[^<]*', 'class="video">AAAA', path.read_text(encoding="utf-8"))
    other = tmp_path / "other.html"
    other.write_text(text, encoding="utf-8")
    show(desktop, other)
    desktop.wait(f"document.querySelector('{FAILED} .stage p')")
    desktop.click(plot("joints"), right=0.5)
    assert cursor(desktop) == pytest.approx(0.5 * DURATION, abs=0.03)
    assert desktop.problems() == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(phone, path, dark):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    phone.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    show(phone, path)
    assert phone.js("document.documentElement.scrollWidth") <= 360
    small = phone.js("[...document.querySelectorAll('button, summary, select')]"
                     ".filter(e => e.offsetParent && e.clientHeight < 24"
                     " && !e.closest('ol')).map(e => e.textContent)")
    assert small == []
    background = phone.js("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(16, 19, 23)") == dark
    assert phone.problems() == []


def test_everything_has_a_name(page):
    unnamed = page.js(
        "[...document.querySelectorAll('img, .plot, video, button, select, input, section')]"
        ".filter(e => !(e.hasAttribute('alt') || e.getAttribute('aria-label')"
        " || e.getAttribute('aria-labelledby') || e.closest('label') || e.textContent.trim()))"
        ".map(e => e.outerHTML.slice(0, 80))")
    assert unnamed == []
    assert page.js("document.querySelectorAll('h1').length") == 1
    assert page.js("document.documentElement.lang") == "en"

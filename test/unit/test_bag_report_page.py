# SPDX-License-Identifier: Apache-2.0
"""The episode report in a real browser: it plays, seeks, fits a phone and asks nobody."""

from __future__ import annotations

import re
import time

import pytest

from harness.browser import Browser, find_chromium
from harness.recorded_episodes import write_run
from tinyvla_ros.cli.main import run_command

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome, "
                                "which is not in PATH (apt-get install chromium)")
FAILED, SUCCEEDED = "#episode-1", "#episode-2"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    out = folder / "report.html"
    run_command(["bag", "report", str(write_run(folder / "run")), "--out", str(out)])
    return out


@pytest.fixture
def browser(tmp_path, page):
    with Browser(tmp_path) as browser:
        browser.open(page)
        yield browser
        assert browser.problems == []
        assert {url.split("#")[0] for url in browser.requests} == {page.as_uri()}


def video(browser, what: str):
    return browser.js(f"document.querySelector('{FAILED} video').{what}")


def cursor(browser, episode: str = FAILED) -> float:
    return float(browser.js(f"document.querySelector('{episode}').dataset.cursor"))


def test_video_plays_and_moves_the_cursor(browser):
    browser.wait(f"document.querySelector('{FAILED} video').readyState >= 2")
    assert video(browser, "error") is None
    assert video(browser, "duration") == pytest.approx(2.0, abs=0.05)
    assert (video(browser, "videoWidth"), video(browser, "videoHeight")) == (128, 48)
    browser.click(f"{FAILED} .play")
    browser.wait(f"document.querySelector('{FAILED} video').currentTime > 0.3")
    browser.click(f"{FAILED} .play")
    browser.wait(f"document.querySelector('{FAILED} video').paused")
    assert cursor(browser) == pytest.approx(video(browser, "currentTime"), abs=0.2)


@pytest.mark.parametrize("plot", ["actions", "joints"])
def test_a_click_on_a_plot_seeks_the_video(browser, plot):
    browser.wait(f"document.querySelector('{FAILED} video').readyState >= 2")
    canvas = f"{FAILED} canvas[data-plot={plot}]"
    assert browser.js(f"document.querySelector('{canvas}').clientHeight") > 80
    browser.click(canvas, right=0.75)
    assert cursor(browser) == pytest.approx(0.75 * 1.95, abs=0.03)
    browser.wait(f"!document.querySelector('{FAILED} video').seeking")
    assert video(browser, "currentTime") == pytest.approx(cursor(browser), abs=0.01)
    now = browser.js(f"[...document.querySelectorAll('{FAILED} .film button.now')]"
                     ".map(b => b.dataset.t)")
    assert [float(t) for t in now] == [1.35, 1.35]  # the newest pictures at that time
    browser.js(f"document.querySelector('{canvas}').focus()")
    browser.key("ArrowRight")
    assert cursor(browser) == pytest.approx(0.75 * 1.95 + 0.05, abs=0.03)
    browser.key("Home")
    assert cursor(browser) == 0.0


def test_plots_show_something_at_the_cursor(browser):
    def inked() -> list[int]:
        return browser.js(
            f"[...document.querySelectorAll('{FAILED} canvas')].map(c => {{"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })")
    assert min(inked()) > 2000
    before = browser.js(f"document.querySelector('{FAILED} canvas').toDataURL()")
    browser.click(f"{FAILED} .film button:last-child")
    assert cursor(browser) == pytest.approx(1.95)
    browser.js("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert browser.js(f"document.querySelector('{FAILED} canvas').toDataURL()") != before


def test_links_and_events_lead_to_the_pictures(browser, page):
    assert browser.js(f"document.querySelector('{SUCCEEDED}').open") is False
    browser.open(page, SUCCEEDED)
    browser.wait(f"document.querySelector('{SUCCEEDED}').open")
    browser.js(f"document.querySelector('{SUCCEEDED} details.more').open = true")
    browser.click(f"{SUCCEEDED} ol.events li:nth-child(2) button", right=0.2)
    assert cursor(browser, SUCCEEDED) == pytest.approx(1.0)


def test_a_browser_without_the_codec_says_so(tmp_path, page):
    text = re.sub(r'class="video">[^<]*', 'class="video">AAAA', page.read_text(encoding="utf-8"))
    other = tmp_path / "other.html"
    other.write_text(text, encoding="utf-8")
    with Browser(tmp_path / "home") as browser:
        browser.open(other)
        browser.wait(f"document.querySelector('{FAILED} .stage p')")
        browser.click(f"{FAILED} canvas[data-plot=joints]", right=0.5)
        assert cursor(browser) == pytest.approx(0.975, abs=0.03)
        assert browser.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(tmp_path, page, dark):
    with Browser(tmp_path, 360, 740, dark=dark, phone=True) as browser:
        browser.open(page)
        assert browser.js("document.documentElement.scrollWidth") <= 360
        small = browser.js("[...document.querySelectorAll('button, summary, select')]"
                           ".filter(e => e.offsetParent && e.clientHeight < 24"
                           " && !e.closest('ol')).map(e => e.textContent)")
        assert small == []
        background = browser.js("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(16, 19, 23)") == dark
        assert browser.problems == []


def test_everything_has_a_name(browser):
    unnamed = browser.js(
        "[...document.querySelectorAll('img, canvas, video, button, select, input, section')]"
        ".filter(e => !(e.hasAttribute('alt') || e.getAttribute('aria-label')"
        " || e.getAttribute('aria-labelledby') || e.closest('label') || e.textContent.trim()))"
        ".map(e => e.outerHTML.slice(0, 80))")
    assert unnamed == []
    assert browser.js("document.querySelectorAll('h1').length") == 1
    assert browser.js("document.documentElement.lang") == "en"
    time.sleep(0.1)  # what would be asked for late

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

import json
import re
import shutil
from contextlib import contextmanager

import pytest

from harness.recorded_episodes import write_run
from tinyvla_ros.cli.main import run_command

webdriver = pytest.importorskip("selenium.webdriver", reason="needs requirements-dev.txt")
support = pytest.importorskip("selenium.webdriver.support.wait")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(DRIVER is None, reason="needs Chromium with its driver (apt-get "
                                "install chromium chromium-driver)")
FAILED, SUCCEEDED = "#episode-1", "#episode-2"
DURATION = 1.95
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1280,900",
         "--autoplay-policy=no-user-gesture-required")


class Page:
    """A page in a headless Chromium."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, fragment: str = "") -> None:
        self.driver.get("about:blank")  # also where only the fragment differs
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.as_uri() + fragment)
        self.wait("document.documentElement.dataset.ready")

    def js(self, expression: str):
        """Return the value of an expression."""
        return self.driver.execute_script(f"return {expression}")

    def wait(self, expression: str) -> None:
        waiting = support.WebDriverWait(self.driver, 30, 0.05)
        waiting.until(lambda _: self.js(expression), expression)

    def element(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def mouse_at(self, selector: str, right: float) -> object:
        """Move the mouse into an element, ``right`` of its width from its left edge."""
        element = self.element(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: "
                                   "'instant'})", element)
        # What is above may still be growing: a click would miss the element.
        self.driver.execute_async_script("""
            const [element, done] = arguments; let last = "";
            (function look() {
              const now = JSON.stringify(element.getBoundingClientRect());
              if (now === last) { done(); return; }
              last = now;
              requestAnimationFrame(() => setTimeout(look, 50));
            })()""", element)
        offset = round((right - 0.5) * element.size["width"])
        return webdriver.ActionChains(self.driver).move_to_element_with_offset(element, offset, 0)

    def click(self, selector: str, right: float = 0.5) -> None:
        self.mouse_at(selector, right).click().perform()

    def cursor(self, episode: str = FAILED) -> float:
        return float(self.js(f"document.querySelector('{episode}').dataset.cursor"))

    def problems(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """Return the addresses that were loaded, data and blobs left out."""
        events = [json.loads(e["message"])["message"] for e in
                  self.driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in events
                if e["method"] == "Network.requestWillBeSent"]
        return {url.split("#")[0] for url in urls if not url.startswith(("data:", "blob:"))}


@contextmanager
def chromium(**mobile):
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    if mobile:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": mobile})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield Page(driver)
    finally:
        driver.quit()


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
    desktop.open(path)
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
    assert page.cursor() == pytest.approx(video(page, "currentTime"), abs=0.2)


@pytest.mark.parametrize("kind", ["actions", "joints"])
def test_a_click_on_a_plot_seeks_the_video(page, kind):
    video(page, "duration")
    page.click(plot(kind, 2), right=0.75)
    page.wait(f"document.querySelector('{FAILED}').dataset.cursor > 0")
    assert page.cursor() == pytest.approx(0.75 * DURATION, abs=0.03)
    page.wait(f"!document.querySelector('{FAILED} video').seeking")
    assert video(page, "currentTime") == pytest.approx(page.cursor(), abs=0.01)
    now = page.js(f"[...document.querySelectorAll('{FAILED} .film button.now')]"
                  ".map(b => b.dataset.t)")
    assert [float(t) for t in now] == [1.35, 1.35]  # the newest images at that time
    place = page.element(f"{FAILED} [data-plot={kind}]")
    page.driver.execute_script("arguments[0].focus()", place)
    place.send_keys(webdriver.Keys.ARROW_RIGHT)
    assert page.cursor() == pytest.approx(0.75 * DURATION + 0.05, abs=0.03)
    place.send_keys(webdriver.Keys.HOME)
    assert page.cursor() == 0.0


def test_values_follow_the_cursor_and_the_mouse(page):
    assert values(page, "actions") == ["running", "-", "-", "-"]  # the first chunk is late
    page.click(f"{FAILED} .film button:last-child")
    assert page.cursor() == pytest.approx(DURATION)
    # Row 2 of the last chunk, and the last joint state.
    assert values(page, "actions") == ["running", "1.820", "0.040", "30.0"]
    assert values(page, "joints") == ["0.999", "-0.999"]
    page.mouse_at(plot("joints"), right=0.6).perform()
    assert values(page, "actions")[0] == "holding"
    assert page.cursor() == pytest.approx(DURATION)
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
    assert page.cursor() == 0.0, "a drag is no click"
    page.mouse_at(plot("joints"), right=0.5).double_click().perform()
    page.click(f"{FAILED} .film button:first-child")
    assert drawn() == whole


def test_links_and_events_lead_to_the_images(page, path):
    assert page.js(f"document.querySelector('{SUCCEEDED}').open") is False
    page.open(path, SUCCEEDED)
    page.wait(f"document.querySelector('{SUCCEEDED}').open")
    page.js(f"document.querySelector('{SUCCEEDED} details.more').open = true")
    page.wait(f"document.querySelector('{SUCCEEDED}').dataset.cursor")
    page.click(f"{SUCCEEDED} ol.events li:nth-child(2) button", right=0.2)
    assert page.cursor(SUCCEEDED) == pytest.approx(1.0)


def test_a_browser_without_the_codec_shows_a_note(tmp_path, desktop, path):
    text = re.sub(r'class="video">[^<]*', 'class="video">AAAA', path.read_text(encoding="utf-8"))
    other = tmp_path / "other.html"
    other.write_text(text, encoding="utf-8")
    desktop.open(other)
    desktop.wait(f"document.querySelector('{FAILED} .stage p')")
    desktop.click(plot("joints"), right=0.5)
    assert desktop.cursor() == pytest.approx(0.5 * DURATION, abs=0.03)
    assert desktop.problems() == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(phone, path, dark):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    phone.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    phone.open(path)
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

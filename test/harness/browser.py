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

"""A headless Chromium for tests of pages; a module that imports this skips without one."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs requirements-dev.txt")
support = pytest.importorskip("selenium.webdriver.support.wait")
actions = "selenium.webdriver.common.actions"
ActionBuilder = pytest.importorskip(f"{actions}.action_builder").ActionBuilder
PointerInput = pytest.importorskip(f"{actions}.pointer_input").PointerInput
DRIVER = shutil.which("chromedriver")
if DRIVER is None:
    pytest.skip("needs Chromium with its driver (apt-get install chromium chromium-driver)",
                allow_module_level=True)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1280,900",
         "--autoplay-policy=no-user-gesture-required")


class Page:
    """A page in a headless Chromium."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # also where only the fragment differs
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)

    def js(self, expression: str):
        """Return the value of an expression."""
        return self.driver.execute_script(f"return {expression}")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
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
    """Start a browser; with width, height and more that of a phone."""
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

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

"""The operator's page in a real browser, with a real policy and a real recorder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from std_srvs.srv import SetBool, Trigger

from harness.browser import ActionBuilder, Page, PointerInput, chromium, webdriver
from harness.panel import panel_rig, start_panel
from harness.teleop_rig import TeleopRig
from tinyvla_ros.bags.reader import Bag, find_bags

DRIVES, LOST = "a person drives", "was lost"
WORDS = "dry run"
Keys = webdriver.Keys


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    place = tmp_path_factory.mktemp("panel")
    with panel_rig(place) as rig:
        rig.episodes = place / "episodes"
        rig.start("episode_recorder_node", out=str(rig.episodes), robot=str(rig.path))
        rig.url = start_panel(rig)
        yield rig
        assert not rig.wrong
        for node in ("policy_node", "panel_node", "episode_recorder_node"):
            assert "Traceback" not in rig.log(node)


@pytest.fixture(autouse=True)
def policy_commands(rig):
    """The policy has the arm when a test begins, whoever had it or lost it in the one before."""
    if rig.status != "running":
        assert rig.call("reset", Trigger.Request()).success
        assert rig.call("enable", SetBool.Request(data=True)).success
    rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")


@pytest.fixture
def desktop(rig, policy_commands):
    with chromium() as page:
        open_page(page, rig)
        yield page
        assert not page.problems()


def open_page(page: Page, rig: TeleopRig) -> None:
    page.open(rig.url)
    page.wait("document.querySelector('#state').classList.contains('level0') || "
              "document.querySelector('#reason').textContent")


def press(page: Page, name: str) -> None:
    """Click a button when it can be clicked."""
    page.wait(f"!document.getElementById('{name}').disabled")
    page.click(f"#{name}")


def drive(page: Page, rig: TeleopRig) -> None:
    """Take the controls of an arm that the policy moves."""
    press(page, "take")
    page.wait("document.querySelector('#drives').textContent == 'You drive'")
    page.wait("!document.querySelector('#deadman').disabled")
    # Slow, so that the policy may go on from there although a busy browser lets go late.
    page.driver.execute_script("document.querySelector('#speed').value = 0.1")


def told(page: Page, text: str) -> None:
    page.wait(f"document.querySelector('#told').textContent.includes({text!r})")


def moved(rig: TeleopRig, act, joint: int = 0) -> None:
    """Check that ``act`` moves a joint and, of those that stand still, no other."""
    rig.wait(lambda: rig.status == DRIVES, "the person")
    before = len(rig.commands)

    def keeps_its_place() -> bool:
        """Return whether the person's commands name one place, and the arm is there.

        Standing still is not enough: on a busy machine the first commands come far apart.
        """
        last = np.array([c.last for c in rig.commands[max(before, len(rig.commands) - 5):]])
        return len(last) == 5 and np.abs(last - rig.position).max() < 1e-4

    rig.wait(keeps_its_place, "a person who keeps the arm where it is")
    start = rig.position
    act()
    rig.wait(lambda: abs(rig.position[joint] - start[joint]) > 0.02, "motion")
    assert np.abs(np.delete(rig.position - start, joint)).max() < 1e-3


def test_it_shows_the_cameras_the_joints_and_the_plan(rig, desktop):
    for camera in range(2):
        picture = f"document.querySelectorAll('#cameras img')[{camera}]"
        desktop.wait(f"{picture}.naturalWidth > 0")
        first = desktop.js(f"{picture}.src")
        desktop.wait(f"{picture}.src != {first!r}")
    desktop.wait("document.querySelector('#numbers').textContent.includes('latency')")
    desktop.wait("document.querySelector('#numbers').textContent.includes('disk left')")
    desktop.wait("document.querySelector('#commander').textContent == 'policy commands'")
    # Each lane has what was measured, in blue, and what is planned.
    desktop.wait("""(() => {
        const plot = document.querySelector('#plot'), seen = new Set();
        const data = plot.getContext('2d').getImageData(0, 0, plot.width, plot.height).data;
        for (let i = 0; i < data.length; i += 4)
          seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
        return seen.has('21,101,192') && seen.has('211,84,0'); })()""")


def test_every_button_of_the_policy(rig, desktop):
    for name in ("enable", "hold", "reset", "start", "deadman"):
        assert desktop.js(f"document.getElementById('{name}').disabled"), "it only watches"
    drive(desktop, rig)
    press(desktop, "hold")
    rig.wait(lambda: "disabled" in rig.status, "the hold")
    rig.wait_rest()
    press(desktop, "enable")
    rig.wait(lambda: rig.status == "running", "the policy")
    press(desktop, "stop")
    rig.wait(lambda: "stopped by the operator" in rig.status, "the stop")
    press(desktop, "enable")
    told(desktop, "call ~/reset first")
    press(desktop, "reset")
    press(desktop, "enable")
    rig.wait(lambda: rig.status == "running", "the policy")
    words = desktop.element("#words")
    words.send_keys("do the laundry" + Keys.ENTER)
    told(desktop, "do the laundry")  # which this policy does not know
    assert desktop.js("document.querySelector('#told').classList.contains('refused')")
    words.clear()
    words.send_keys(WORDS + Keys.ENTER)
    told(desktop, f"Told: {WORDS}")
    desktop.wait(f"document.querySelector('#instruction').textContent == {WORDS!r}")
    press(desktop, "leave")
    desktop.wait("document.querySelector('#drives').textContent == 'Nobody drives'")


def test_a_person_takes_over_with_space_bar_and_mouse(rig, desktop):
    drive(desktop, rig)
    chain = webdriver.ActionChains(desktop.driver)
    chain.key_down(Keys.SPACE).perform()
    plus = "[aria-label='shoulder_pan plus']"
    moved(rig, lambda: desktop.mouse_at(plus, 0.5).click_and_hold().perform())
    assert desktop.js("document.querySelector('#deadman').classList.contains('on')")
    chain.release().perform()
    chain.key_up(Keys.SPACE).perform()
    rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")


def test_a_person_takes_over_with_two_thumbs_on_a_phone(rig):
    with chromium(width=390, height=844, pixelRatio=2.0, touch=True) as page:
        open_page(page, rig)
        assert page.js("document.documentElement.scrollWidth") <= 390
        drive(page, rig)
        page.js("document.querySelector('#takeover').scrollIntoView({block: 'end'})")
        left, right = (PointerInput("touch", name)
                       for name in ("left", "right"))

        def touch() -> None:
            # The driver knows which fingers are down only within one call.
            left.create_pointer_move(origin=page.element("#deadman"))
            left.create_pointer_down(button=0)
            right.create_pointer_move(origin=page.element("[aria-label='wrist_roll plus']"))
            right.create_pause(1.0)
            right.create_pointer_down(button=0)
            builder = ActionBuilder(page.driver)
            builder.devices = [left, right]
            builder.perform()

        touch()
        roll = rig.channels.index("wrist_roll")
        rig.wait(lambda: rig.status == DRIVES, "the person")
        place = rig.position[roll]
        rig.wait(lambda: rig.position[roll] > place + 0.02, "motion")
        webdriver.ActionChains(page.driver).reset_actions()  # both thumbs lift
        rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")
        assert not page.problems()


def test_a_person_takes_over_with_a_gamepad(rig, desktop):
    drive(desktop, rig)
    # The browser's own interface, with what a pad in the standard layout says.
    desktop.driver.execute_script("""
        window.pad = {mapping: 'standard', axes: [0, 0, 0, 0], buttons: [...Array(17)].map(
          () => ({pressed: false, value: 0}))};
        navigator.getGamepads = () => [null, window.pad];
        window.pad.buttons[5] = {pressed: true, value: 1};""")
    moved(rig, lambda: desktop.driver.execute_script("window.pad.axes[0] = 1"))
    desktop.driver.execute_script("window.pad.axes[0] = 0;"
                                  "window.pad.buttons[5] = {pressed: false, value: 0}")
    rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")


def test_episodes_are_recorded_judged_and_thrown_away(rig, desktop):
    drive(desktop, rig)
    kept = complete(rig)
    for number, (judgment, outcome) in enumerate((("success", "success"), ("failure", "failure"),
                                                  ("discard", ""))):
        press(desktop, "start")
        desktop.wait("document.querySelector('#start').classList.contains('on')")
        desktop.wait("document.querySelector('#session').textContent.includes(' s')")
        press(desktop, judgment)
        if outcome:
            rig.wait(lambda n=kept + number + 1: complete(rig) == n, "the bag")
            newest = max(find_bags(rig.episodes), key=lambda p: p.stat().st_mtime)
            with Bag(newest) as bag:
                assert bag.custom["outcome"] == outcome
                assert bag.custom["instruction"] == WORDS
    rig.wait(lambda: list(rig.episodes.glob("discarded/*/metadata.yaml")), "the discarded bag")
    desktop.wait("document.querySelector('#session').textContent.includes('1 discarded')")


def complete(rig: TeleopRig) -> int:
    return len([p for p in rig.episodes.glob("*/metadata.yaml")])


def test_others_watch_and_may_stop(rig, desktop):
    drive(desktop, rig)
    with chromium() as other:
        open_page(other, rig)
        other.wait("document.querySelector('#drives').textContent == 'Another page drives'")
        assert other.js("document.querySelector('#take').disabled")
        assert other.js("document.querySelector('#deadman').disabled")
        press(other, "stop")
        rig.wait(lambda: "stopped by the operator" in rig.status, "the stop")
    press(desktop, "reset")
    press(desktop, "enable")
    rig.wait(lambda: rig.status == "running", "the policy")


def test_a_tab_that_is_hidden_lets_the_arm_hold(rig, desktop):
    drive(desktop, rig)
    chain = webdriver.ActionChains(desktop.driver)
    chain.key_down(Keys.SPACE).perform()
    rig.wait(lambda: rig.status == DRIVES, "the person")
    desktop.driver.switch_to.new_window("tab")
    rig.wait(lambda: LOST in rig.status, "the loss")
    rig.wait_rest()


def test_a_finger_that_the_system_takes_away_lets_the_arm_hold(rig):
    """For a call, or a gesture of its own: nobody let go."""
    with chromium(width=390, height=844, pixelRatio=2.0, touch=True) as page:
        open_page(page, rig)
        drive(page, rig)
        x, y = page.js("""(() => {
            const place = document.querySelector('#deadman'); place.scrollIntoView();
            const box = place.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; })()""")
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {
            "type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        rig.wait(lambda: rig.status == DRIVES, "the person")
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {
            "type": "touchCancel", "touchPoints": []})
        rig.wait(lambda: LOST in rig.status, "the loss")
        rig.wait_rest()
        page.wait("document.querySelector('#deadman').textContent.includes('hold anew')")


def test_a_page_says_that_it_hears_nothing(rig, desktop):
    desktop.wait("document.querySelector('#cameras img').naturalWidth > 0")
    rig.signal("panel_node", signal.SIGSTOP)
    try:
        desktop.wait("document.querySelector('#state').textContent == 'not connected'")
        assert desktop.js("document.querySelector('#cameras img').classList.contains('old')")
        assert desktop.js("document.querySelector('#stop').disabled")
    finally:
        rig.signal("panel_node", signal.SIGCONT)
    desktop.wait("document.querySelector('#state').textContent != 'not connected'")
    desktop.wait("!document.querySelector('#stop').disabled")
    desktop.wait("!document.querySelector('#cameras img').classList.contains('old')")


def test_a_browser_that_is_killed_lets_the_arm_hold(rig):
    with chromium() as page:
        open_page(page, rig)
        drive(page, rig)
        webdriver.ActionChains(page.driver).key_down(Keys.SPACE).perform()
        rig.wait(lambda: rig.status == DRIVES, "the person")
        os.kill(browser_process(page), signal.SIGKILL)
        rig.wait(lambda: LOST in rig.status and "gone" in rig.status, "the loss")
        rig.wait_rest()


def browser_process(page: Page) -> int:
    """Return the process id of the browser that its driver started."""
    tasks = Path(f"/proc/{page.driver.service.process.pid}/task").glob("*/children")
    return int(" ".join(task.read_text() for task in tasks).split()[0])

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

"""``tinyvla sim-eval``: three real processes, real topics, real MuJoCo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from std_srvs.srv import Trigger

from harness.left_over import new_context
from harness.processes import Listener, Output, start, start_node
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.core.ros.episode_event import END, EpisodeEvent
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS

pytestmark = pytest.mark.simulator
TASKS = ("reach-v3", "button-press-v3")


def sim_eval(checkpoint: Path, out: Path, *more: str):
    return start(sys.executable, "-m", "tinyvla_ros.cli", "sim-eval", "--checkpoint",
                 str(checkpoint), "--out", str(out), *more)


def processes_of(out: Path) -> list[int]:
    """Processes whose command line names the output directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(out).encode() in command:
                found.append(int(entry.name))
    return found


def is_importing_torch(parent: int) -> bool:
    """Whether a node, a child of ``parent``, has begun to load torch's libraries."""
    for entry in Path("/proc").iterdir():
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent and "libtorch" in (entry / "maps").read_text():
                return True
        except OSError:  # not a process, or one that ended
            continue
    return False


@pytest.fixture(scope="module")
def run(tiny_checkpoint, tmp_path_factory):
    """One lock-step run, watched by a node that collects every chunk."""
    out = tmp_path_factory.mktemp("sim-eval") / "results"
    probe = Listener()
    process = sim_eval(tiny_checkpoint, out, "--tasks", *TASKS, "--episodes", "1", "--seed", "3")
    output = Output(process)
    try:
        probe.until(lambda: process.poll() is not None, "the end of the run")
    finally:
        probe.close()
    assert output.wait_end() == 0, output.text
    return out, output.text, probe.chunks


def test_results_have_the_documented_form(run, tiny_checkpoint):
    from tinyvla_ros.core.files import checkpoint_digest
    out, _, _ = run
    results = json.loads((out / "results.json").read_text())
    assert list(results["tasks"]) == list(TASKS)
    for row in results["tasks"].values():
        assert row["episodes"] == 1
        assert row["success_rate"] == row["successes"] / 1
        assert 0 <= row["wilson_low"] <= row["success_rate"] <= row["wilson_high"] <= 1
        assert {"mean_return", "mean_steps"} <= row.keys()
    protocol = results["protocol"]
    assert protocol["checkpoint_digest"] == checkpoint_digest(tiny_checkpoint)
    assert protocol["backend"].startswith("torch ")
    assert protocol["sample_steps"] == 2
    assert protocol["seeds"] == [3, 3]
    assert protocol["horizon"] == 500
    assert set(protocol["cameras"]) == {"side", "front", "wrist"}
    assert protocol["versions"]["mujoco"]
    latency = results["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]


def test_episodes_and_images_are_there_and_the_table_is_printed(run):
    out, text, _ = run
    lines = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert [(line["task"], line["seed"]) for line in lines] == [(task, 3) for task in TASKS]
    assert all({"success", "steps", "return", "latency_ms"} <= line.keys() for line in lines)
    for task in TASKS:
        image = cv2.imread(str(out / f"{task}.png"))
        assert image.shape[1] == 3 * 192
        moments = [image[22:214, 192 * i:192 * (i + 1)] for i in range(3)]
        assert not np.array_equal(moments[0], moments[2]), "the arm never moved in the image"
        assert f"| {task}" in text


def test_topics_and_in_process_rollout_give_identical_actions(run, tiny_checkpoint):
    """The promise of lock-step: the same actions, step for step, and so the same success."""
    from sim_bridge.arms import METAWORLD
    from sim_bridge.episodes import plan_episodes
    from sim_bridge.metaworld.environment import MetaWorldEnv
    from sim_bridge.rollout import Episode, rollout
    from tinyvla_ros.core.ros.messages import trajectory_to_chunk
    from tinyvla_ros.policy.policy import Policy

    out, _, messages = run
    lines = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    policy = Policy(tiny_checkpoint)
    over_topics = {(m.header.frame_id, trajectory_to_chunk(m, METAWORLD.channels).stamp_ns):
                   trajectory_to_chunk(m, METAWORLD.channels).actions for m in messages}
    # What was sent before the probe was discovered, it missed.
    first = min(stamp for _, stamp in over_topics)
    compared = 0
    for spec, line in zip(plan_episodes(list(TASKS), 1, 3), lines, strict=True):
        env = MetaWorldEnv(spec.task)
        episode = Episode(env, spec)
        for _, chunk in rollout(policy, episode):
            if chunk.stamp_ns < first:
                continue
            assert np.array_equal(over_topics[episode.instruction, chunk.stamp_ns], chunk.actions)
            compared += 1
        env.close()
        result = episode.result()
        assert (result.success, result.steps) == (line["success"], line["steps"])
        assert result.episode_return == pytest.approx(line["return"], abs=1e-3)
    assert compared >= 10


@pytest.fixture(scope="module")
def corner2(tmp_path_factory):
    """A checkpoint that uses a camera of more_cameras alone, and a protocol for it."""
    from harness.policies import tiny_policy_config, write_random_checkpoint
    folder, state = tmp_path_factory.mktemp("corner2"), ["ee_x", "ee_y", "ee_z", "r_close"]
    write_random_checkpoint(folder / "checkpoint", tiny_policy_config(
        cameras={"corner2": {"height": 48, "width": 48}}, state=state))
    (folder / "short.yaml").write_text(json.dumps({
        "description": "a short one", "tasks": ["reach-v3", "push-v3"], "cameras": ["corner2"],
        "state": state, "horizons": [20, 40], "episodes": 2, "demonstrations": 50}))
    return folder


def test_a_checkpoint_of_another_camera_needs_no_option(corner2, tmp_path):
    from tinyvla_ros.bags.reader import Bag
    out = tmp_path / "results"
    output = Output(sim_eval(corner2 / "checkpoint", out, "--protocol",
                             str(corner2 / "short.yaml"), "--tasks", "reach-v3", "--record"))
    assert output.wait_end() == 0, output.text
    results = json.loads((out / "results.json").read_text())
    stamp = results["protocol"]
    assert (stamp["protocol"], stamp["whole_protocol"], stamp["episodes"]) == ("short", False, 2)
    assert list(stamp["cameras"]) == ["corner2"]
    assert (stamp["horizon"], results["tasks"]["reach-v3"]["mean_steps"]) == (40, 40)
    assert cv2.imread(str(out / "reach-v3.png")).shape[:2] == (22 + 480, 3 * 480)
    with Bag(next((out / "episodes").iterdir())) as bag:
        topics = set(bag.topics)
    assert {n for n in topics if n.endswith("image_raw")} == {"/camera/corner2/image_raw"}
    in_process = tmp_path / "in-process"
    assert main(["evaluate", "--checkpoint", str(corner2 / "checkpoint"), "--protocol",
                 str(corner2 / "short.yaml"), "--tasks", "reach-v3", "--workers", "1", "--out",
                 str(in_process)]) == 0
    here, there = (json.loads((d / "results.json").read_text()) for d in (in_process, out))
    assert here["tasks"] == there["tasks"]
    assert main(["compare", str(in_process), str(out)]) == 0


def with_bridge_parameters(folder: Path, **parameters) -> tuple[str, str]:
    """Return the options of ``sim-eval`` that give parameters to the bridge alone."""
    (folder / "params.yaml").write_text(yaml.safe_dump(
        {"sim_bridge_node": {"ros__parameters": parameters}}))
    return "--params-file", str(folder / "params.yaml")


def test_a_bridge_with_another_robot_ends_the_run(tiny_checkpoint, tmp_path):
    """Results never say what was not run."""
    robot = yaml.safe_load((share_directory() / "config" / "metaworld.yaml").read_text())
    robot["cameras"]["side"]["distance"] = 1.25
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(robot))
    output = Output(sim_eval(
        tiny_checkpoint, tmp_path / "results", "--tasks", "reach-v3", "--episodes", "1",
        *with_bridge_parameters(tmp_path, config=str(tmp_path / "robot.yaml"))))
    assert output.wait_end() != 0
    assert "1.25" in output.text and "same parameters" in output.text, output.text
    assert not (tmp_path / "results" / "results.json").exists()


def test_an_episode_of_another_plan_ends_the_run(tiny_checkpoint, tmp_path):
    """As where the nodes are started by hand, with other seeds."""
    context = new_context()
    node = rclpy.create_node("bridge", context=context)
    event = DiagnosticStatus()
    EpisodeEvent.make(END, {
        "index": 0, "task": "reach-v3", "seed": 7, "success": True, "steps": 50, "return": 1.0,
        "chunks": 1, "latency_ms": [3.0]}).fill(event, KeyValue, "bridge: episode")
    node.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS).publish(event)
    output = Output(start_node("eval_node", checkpoint=str(tiny_checkpoint), seed=3, episodes=1,
                               out=str(tmp_path / "results"), tasks=["reach-v3"]))
    assert output.wait_end() == 2, output.text
    assert "seed 7" in output.text and "with 3" in output.text
    assert not (tmp_path / "results").exists()
    node.destroy_node()
    context.try_shutdown()


def test_a_seed_for_the_bridge_alone_is_no_other_plan(tiny_checkpoint, tmp_path):
    """What is given to the run counts."""
    output = Output(sim_eval(
        tiny_checkpoint, tmp_path / "results", "--tasks", "reach-v3", "--episodes", "1",
        *with_bridge_parameters(tmp_path, seed=7)))
    assert output.wait_end() == 0, output.text
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["protocol"]["seeds"] == [0, 0]


@pytest.mark.parametrize(("parameters", "words"), [
    ({"protocol": "corner3"}, ("'corner3'", "'corner2'")),
    ({"cameras": ["top"]}, ("'top'", "'corner2'")),
    ({"protocol": "corner2", "cameras": ["side"]}, ("side", "corner2 alone")),
    ({"protocol": "corner2", "horizon": 400}, ("400", "corner2", "500"))])
def test_the_bridge_refuses_what_is_not_of_its_protocol(parameters, words):
    output = Output(start_node("sim_bridge_node", **parameters))
    assert output.wait_end() == 2
    assert all(word in output.text for word in words), output.text


def test_realtime_reports_its_factor(tiny_checkpoint, tmp_path):
    out = tmp_path / "results"
    process = sim_eval(tiny_checkpoint, out, "--tasks", "reach-v3", "--episodes", "1",
                       "--mode", "realtime", "--join", "rtc", "--extra-latency", "0.02",
                       "--camera-rate", "40")
    output = Output(process)
    assert output.wait_end() == 0, output.text
    results = json.loads((out / "results.json").read_text())
    assert (results["protocol"]["join"], results["protocol"]["extra_latency_s"]) == ("rtc", 0.02)
    assert results["protocol"]["mode"] == "ROS 2 topics, realtime"
    protocol = results["protocol"]
    assert 0 < protocol["real_time_factor"] <= 1.01
    steps = round(results["tasks"]["reach-v3"]["mean_steps"])
    assert protocol["camera_rate"] == 40.0
    # One moment in two steps, and the last one; on a busy machine some are skipped.
    assert protocol["frames"] + protocol["skipped_frames"] == -(-steps // 2) + 1
    assert 0 < protocol["frame_ms"]["p50"] <= protocol["frame_ms"]["p99"]
    assert results["latency_ms"]["p50"] > 0
    assert "real-time factor" in output.text


def test_ctrl_c_stops_everything(tiny_checkpoint, tmp_path):
    out = tmp_path / "results"
    process = sim_eval(tiny_checkpoint, out, "--tasks", "pick-place-v3", "--episodes", "500")
    output = Output(process)
    output.wait_for("1/500")
    process.send_signal(signal.SIGINT)
    assert output.wait_end() == 130
    assert processes_of(out) == []
    assert "Traceback" not in output.text
    assert (out / "episodes.jsonl").read_text().count("\n") >= 1, "finished episodes are kept"


def test_ctrl_c_while_nodes_still_load_is_quiet(tiny_checkpoint, tmp_path):
    out = tmp_path / "results"
    process = sim_eval(tiny_checkpoint, out, "--tasks", "reach-v3")
    output = Output(process)
    while not is_importing_torch(process.pid):
        assert process.poll() is None, output.text
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert output.wait_end() == 130
    assert "Traceback" not in output.text
    assert processes_of(out) == []


@pytest.mark.parametrize("victim", ["policy_node", "sim_bridge_node"])
def test_a_dead_node_ends_the_run_with_its_name(victim, tiny_checkpoint, tmp_path):
    out = tmp_path / "results"
    process = sim_eval(tiny_checkpoint, out, "--tasks", "pick-place-v3", "--episodes", "500")
    output = Output(process)
    output.wait_for("1/500")
    children = subprocess.run(["pgrep", "-P", str(process.pid), "-f", victim],
                              capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert output.wait_end() != 0
    assert f"error: {victim} ended with signal SIGKILL" in output.text
    assert processes_of(out) == []


def test_a_reset_before_the_first_episode_ends_nothing():
    process = start_node("sim_bridge_node", start_timeout=5.0)
    output, probe = Output(process), Listener()
    try:
        answer = probe.call(Trigger, "/sim_bridge_node/reset", Trigger.Request())
    finally:
        probe.close()
    assert not answer.success
    assert output.wait_end() == 2, "it still waits for a policy, which never comes"
    assert "No policy appeared" in output.text


@pytest.mark.parametrize(("arguments", "words"), [
    (["--tasks", "reach-v2"], ["'reach-v2'", "Did you mean 'reach-v3'"]),
    (["--episodes", "-3"], ["--episodes", "-3", "from 1 to"]),
    (["--episodes", "0"], ["--episodes", "0", "from 1 to"]),
    (["--seed", "-1"], ["--seed", "-1", "from 0 to"]),
    (["--tasks", "reach-v3", "reach-v3"], ["each once"]),
    (["--checkpoint", "/nowhere"], ["/nowhere"]),
    (["--out", "/proc/nowhere"], ["/proc/nowhere", "cannot be written"]),
])
@pytest.mark.parametrize("command", ["sim-eval", "evaluate"])
def test_bad_arguments_are_one_sentence(command, arguments, words, tiny_checkpoint, tmp_path,
                                        capfd):
    assert main([command, "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path / "out"),
                 *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    assert all(word in err for word in words)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--mode", "realtime", "--camera-rate", "30"], ["30 Hz", "80 divided by", "40"]),
    (["--mode", "realtime", "--camera-rate", "160"], ["--camera-rate", "160", "80"]),
    (["--camera-rate", "40"], ["40 Hz", "lock-step", "realtime"]),
])
def test_cameras_run_at_what_control_steps_give(arguments, words, tiny_checkpoint, capfd):
    assert main(["sim-eval", "--checkpoint", str(tiny_checkpoint), *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    assert all(word in err for word in words), err


def test_no_gl_library_is_one_sentence(tiny_checkpoint, tmp_path):
    """``ctypes`` finds libraries through ldconfig and the compiler; hide both."""
    code = ("import ctypes.util, sys; ctypes.util.find_library = lambda name: None; "
            "from tinyvla_ros.cli.main import main; sys.exit(main(sys.argv[1:]))")
    environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    run = subprocess.run([sys.executable, "-c", code, "sim-eval", "--checkpoint",
                          str(tiny_checkpoint), "--out", str(tmp_path / "out")],
                         capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 2
    assert all(word in run.stderr for word in ("EGL", "sudo apt-get install -y libegl1"))
    assert run.stderr.count("\n") == 1


def test_results_are_never_overwritten(run, tiny_checkpoint):
    out, _, _ = run
    before = (out / "results.json").read_bytes()
    output = Output(sim_eval(tiny_checkpoint, out, "--tasks", "reach-v3"))
    assert output.wait_end() == 2
    assert "holds results already" in output.text
    assert (out / "results.json").read_bytes() == before

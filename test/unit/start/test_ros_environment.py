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

"""Environment variables of ROS: what ROS takes is taken; test_failed_start.py has the rest."""

from __future__ import annotations

import pytest

from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.start.ros_environment import check_ros_environment


@pytest.mark.parametrize("text", ["", "0", "7", " 7", "232", "0x10", "010"])
def test_a_domain_that_ros_takes_is_taken(text, tmp_path):
    check_ros_environment({"ROS_LOG_DIR": str(tmp_path), "ROS_DOMAIN_ID": text})


def test_the_log_directory_is_where_ros_looks_for_it(tmp_path):
    check_ros_environment({"HOME": str(tmp_path), "ROS_LOG_DIR": "~/logs"})
    check_ros_environment({"HOME": "/proc", "ROS_HOME": str(tmp_path / "ros")})
    assert (tmp_path / "logs").is_dir() and (tmp_path / "ros" / "log").is_dir()
    with pytest.raises(InputError, match=r"/proc/\.ros/log"):
        check_ros_environment({"HOME": "/proc"})


def test_an_installed_middleware_is_taken(tmp_path):
    index = tmp_path / "share" / "ament_index" / "resource_index" / "rmw_typesupport"
    index.mkdir(parents=True)
    for name in ("rmw_implementation", "rmw_other_cpp"):
        (index / name).touch()
    environment = {"ROS_LOG_DIR": str(tmp_path), "AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}"}
    check_ros_environment(environment | {"RMW_IMPLEMENTATION": "rmw_other_cpp"})
    for name in ("rmw_another_cpp", "rmw_implementation"):
        with pytest.raises(InputError, match=f"'{name}'.*rmw_other_cpp"):
            check_ros_environment(environment | {"RMW_IMPLEMENTATION": name})


@pytest.mark.parametrize("text", ["<dds><broken", "profiles: {}", ""])
@pytest.mark.parametrize("name", ["FASTRTPS_DEFAULT_PROFILES_FILE",
                                  "FASTDDS_DEFAULT_PROFILES_FILE"])
def test_a_profile_that_fast_dds_would_pass_over_is_refused(name, text, tmp_path):
    path = tmp_path / "profile.xml"
    environment = {"ROS_LOG_DIR": str(tmp_path), name: str(path)}
    path.write_text("<dds/>")
    check_ros_environment(environment)
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{name} is {path}, which is not valid XML"):
        check_ros_environment(environment)


@pytest.mark.parametrize("command", [
    "dry-run", pytest.param("sim-eval", marks=pytest.mark.simulator)])
def test_nodes_that_could_not_find_each_other_do_not_start(command, monkeypatch, capfd, tmp_path):
    pytest.importorskip("rclpy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    assert main([command]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF" in err and "LOCALHOST" in err

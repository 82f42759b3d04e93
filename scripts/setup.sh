#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make everything `make sim-eval` and `make test` need: .venv, Python packages, headless OpenGL.
# Safe to run again: returns at once when nothing changed.
# "setup.sh browser" installs the browser that the tests of the episode page open, where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

root_or_die() {  # root_or_die PACKAGE...: install Debian packages, or say what to type
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    die "these packages are missing; type: sudo apt-get install -y $*"
  fi
}

install_browser() {
  command -v chromedriver >/dev/null || (root_or_die chromium chromium-driver) ||
    say "without chromedriver, the tests of the episode page are skipped"
}

if [ "${1:-}" = browser ]; then
  install_browser
  exit
fi

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.12 python3.11 python3.10; do
    command -v "$candidate" >/dev/null || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
        2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  die "no Python 3.10, 3.11 or 3.12 found; type: sudo apt-get install -y python3 python3-venv"
}

# A sourced ROS 2 installation is used instead of the wheels.
ros=wheels
if [ -n "${ROS_DISTRO:-}" ] && "${PYTHON:-python3}" -c 'import rclpy' 2>/dev/null; then
  ros=$ROS_DISTRO
fi

stamp=$venv/.ready
wanted=$(cat requirements*.txt setup.py scripts/setup.sh | sha256sum | cut -d' ' -f1)-$ros
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! "$venv/bin/python" -V >/dev/null 2>&1; then
  python=$(find_python)
  say "setting up $venv with $("$python" -V) and ROS 2 from $ros (a few minutes, once)"
  site=()
  [ "$ros" = wheels ] || site=(--system-site-packages)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    root_or_die "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  fi
  "$python" -m venv --clear "${site[@]}" "$venv"
  pip=("$venv/bin/python" -m pip install --disable-pip-version-check)
  [ -t 1 ] || pip+=(-q)  # a log needs no progress bars
  files=(-r requirements.txt -r requirements-dev.txt -r requirements-vlm.txt)
  [ "$ros" = wheels ] && files+=(-r requirements-ros.txt)
  "${pip[@]}" -U pip 'setuptools>=64,<82' wheel
  "${pip[@]}" "${files[@]}"
  "${pip[@]}" --no-deps --no-build-isolation -e .
  printf '%s' "$wanted" >"$stamp"
fi

# MuJoCo draws without a screen through EGL or OSMesa.
if ! "$venv/bin/python" -c 'from sim_bridge.opengl import choose_opengl; choose_opengl()' 2>/dev/null; then
  root_or_die libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libopengl0
fi

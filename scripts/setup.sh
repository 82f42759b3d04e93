#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make everything `make sim-eval` and `make test` need: .venv, Python packages, headless OpenGL.
# Safe to run again: returns at once when nothing changed. PYTHON=/path/to/python3.12 chooses a
# Python.
# "setup.sh plan" says what it would do; "setup.sh browser" installs the browser that the tests of
# the episode page open, where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
complete='3.10 3.11 3.12 3.13'  # every package has a wheel for these
incomplete=3.14                 # MuJoCo and MetaWorld have none: no simulation
say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

root_or_die() {  # root_or_die PACKAGE...: install Debian packages, or say what to type
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    exec 9</var/lib/dpkg  # the browser may be installed at the same time
    flock 9
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    exec 9>&-
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

version_of() {  # version_of PYTHON: 3.12, or nothing if it does not run
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

is_one_of() {  # is_one_of WORD LIST
  [ -n "$1" ] && [[ " $2 " == *" $1 "* ]]
}

# ROS of a Python: a distribution that is sourced, "wheels", or "foreign" if it is for another Python.
ros_of() {
  "$1" - "$(pwd -P)/$venv/" <<'PYTHON_CODE'
import importlib.util, os, sys
found = importlib.util.find_spec("rclpy") if os.environ.get("ROS_DISTRO") else None
if found is None or os.path.realpath(found.origin).startswith(sys.argv[1]):
    sys.exit(print("wheels"))
try:
    import rclpy
    print(os.environ["ROS_DISTRO"])
except ImportError:
    print("foreign")
PYTHON_CODE
}

find_python() {  # the one that PYTHON names, that .venv has, or the first that will do
  local versions candidate base foreign=
  if [ -n "${PYTHON:-}" ]; then
    is_one_of "$(version_of "$PYTHON")" "$complete $incomplete" ||
      die "PYTHON=$PYTHON is $(version_of "$PYTHON" | sed 's/^/Python /' | grep . ||
        echo 'not a Python that runs'); choose one of Python $complete or $incomplete"
    [ "$(ros_of "$PYTHON")" != foreign ] || die_of_ros "$PYTHON"
    command -v "$PYTHON"
    return
  fi
  base=$("$venv/bin/python" -c 'import sys; print(sys._base_executable)' 2>/dev/null) || base=
  for versions in "$complete" "$incomplete"; do
    for candidate in $base python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
      is_one_of "$(version_of "$candidate")" "$versions" || continue
      if [ "$(ros_of "$candidate")" = foreign ]; then
        foreign=${foreign:-$candidate}
        continue
      fi
      command -v "$candidate"
      return
    done
  done
  [ -z "$foreign" ] || die_of_ros "$foreign"
  [ -n "$(version_of python3)" ] ||
    die "there is no python3; type: sudo apt-get install -y python3 python3-venv"
  die "python3 is Python $(version_of python3); install one of Python $complete or $incomplete" \
    "and name it: make setup PYTHON=/path/to/it"
}

die_of_ros() {  # die_of_ros PYTHON
  die "ROS 2 $ROS_DISTRO is sourced, but its rclpy is for another Python than $1 (Python" \
    "$(version_of "$1")); name that one, for example make setup PYTHON=/usr/bin/python3, or use a" \
    "shell in which ROS is not sourced"
}

packages() {
  cat requirements*.txt setup.py scripts/setup.sh | sha256sum | cut -d' ' -f1
}

why_anew() {  # prints why .venv cannot be used as it is; nothing if it can
  local version ros hash folder now
  [ -e "$venv" ] || { echo 'there is none'; return; }
  read -r version ros hash folder 2>/dev/null <"$stamp" || { echo 'it is not finished'; return; }
  now=$(version_of "$venv/bin/python")
  # The system's Python may have been upgraded below it.
  [ "$now" = "$version" ] || { echo "it was made for Python $version and has ${now:-none}"; return; }
  # Its programs name the folder: those of a copy would run the code of the original.
  [ "$folder" = "$(pwd -P)" ] || { echo "it was made in $folder"; return; }
  [ "$hash" = "$(packages)" ] || { echo 'its packages are of another version'; return; }
  [ "$ros" = "$(ros_of "$venv/bin/python")" ] || { echo "it was made for ROS 2 from $ros"; return; }
  [ -z "${PYTHON:-}" ] || [ "$now" = "$(version_of "$PYTHON")" ] || echo "it has Python $now"
}

stamp=$venv/.ready
[ -z "${PYTHON:-}" ] || find_python >/dev/null
reason=$(why_anew)
if [ -n "$reason" ]; then
  python=$(find_python)
  version=$(version_of "$python")
  ros=$(ros_of "$python")
fi

if [ "${1:-}" = plan ]; then
  if [ -n "$reason" ]; then echo "make $venv with $python (Python $version), ROS 2 from $ros: $reason"
  else echo "keep $venv"; fi
  exit
fi

if [ -n "$reason" ]; then
  say "setting up $venv with $("$python" -V) and ROS 2 from $ros (a few minutes, once): $reason"
  [ "$version" != "$incomplete" ] || say "the simulation is left out: MuJoCo and MetaWorld have no" \
    "packages for Python $version"
  site=()
  [ "$ros" = wheels ] || site=(--system-site-packages)
  "$python" -c 'import ensurepip, venv' 2>/dev/null || root_or_die "python$version-venv"
  [ ! -L "$venv" ] || rm "$venv"  # another folder's, whose programs --clear would delete
  "$python" -m venv --clear "${site[@]}" "$venv"
  pip=("$venv/bin/python" -m pip install --disable-pip-version-check --no-compile)
  [ -t 1 ] || pip+=(-q)  # a log needs no progress bars
  wanted=(-r requirements.txt -r requirements-dev.txt -r requirements-vlm.txt -r requirements-ray.txt
    -r requirements-view.txt)
  if [ "$ros" = wheels ]; then
    wanted+=(-r requirements-ros.txt)
  elif numpy=$("$python" -c 'import numpy; print(numpy.__version__)' 2>/dev/null); then
    # ROS's messages and cv_bridge are built for its numpy and fail with another major version.
    wanted+=("numpy==$numpy")
  fi
  "${pip[@]}" -U pip 'setuptools>=64,<82' wheel
  "${pip[@]}" "${wanted[@]}"
  "${pip[@]}" --no-deps --no-build-isolation -e .
  # On all cores, where pip takes one. Some packages carry files that are no Python: no matter.
  "$venv/bin/python" -m compileall -q -j 0 "$venv"/lib/python*/site-packages >/dev/null || true
  echo "$version $ros $(packages) $(pwd -P)" >"$stamp"
fi

# MuJoCo draws without a screen through EGL or OSMesa.
if [ "$(version_of "$venv/bin/python")" != "$incomplete" ] && ! trouble=$(
    "$venv/bin/python" -c 'from sim_bridge.opengl import choose_opengl; choose_opengl()' 2>&1); then
  if [[ $trouble == *apt-get* ]]; then
    root_or_die libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libopengl0
  else
    say "no simulation yet: ${trouble##*Error: }"  # MUJOCO_GL, for example
  fi
fi

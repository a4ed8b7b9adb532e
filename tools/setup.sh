# shellcheck shell=bash
# Sets up .venv for demo.sh and test.sh, which source this file.
#
#   prepare_environment NAME EXTRAS    e.g. prepare_environment test onnx,video,dev
#
# leaves a ready Python in $PYTHON. Where a ROS 2 installation is sourced the environment sees its
# packages, else rclpy comes as wheels from PyPI. A second run costs well under a second: a stamp
# remembers what was installed, and for what.
#
# Settings: MONO_DEPTH_PYTHON (interpreter to use), MONO_DEPTH_ROS (wheels of jazzy, the default, or
# kilted), MONO_DEPTH_VENV (folder, default .venv; of another distribution .venv-NAME).

REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
PACKAGE="$REPOSITORY/ros2_ws/src/mono_depth_ros"
DISTRIBUTION="${MONO_DEPTH_ROS:-jazzy}"
VENV="${MONO_DEPTH_VENV:-$REPOSITORY/.venv}"
[ "$DISTRIBUTION" = jazzy ] || VENV="${MONO_DEPTH_VENV:-$REPOSITORY/.venv-$DISTRIBUTION}"
PYTHON="$VENV/bin/python"
TORCH="torch==2.13.0"
TORCH_CPU_INDEX="https://download.pytorch.org/whl/cpu"
SETUP_LOG="$VENV/setup.log"

say() { printf '[%3d s] %s\n' "$SECONDS" "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a step quietly, with a sign of life every 15 s; shows the end of its output if it fails.
step() {
    local what="$1" began="$SECONDS" status=0 heartbeat
    shift
    say "$what ..."
    while sleep 15 >/dev/null 2>&1 && kill -0 $$; do
        say "  still at it: $(tail -n 1 "$SETUP_LOG" | cut -c 1-100)"
    done &
    heartbeat=$!
    "$@" >"$SETUP_LOG" 2>&1 || status=$?
    kill "$heartbeat" 2>/dev/null
    wait "$heartbeat" 2>/dev/null || true
    if [ "$status" = 0 ]; then
        say "  done in $((SECONDS - began)) s"
    else
        tail -n 15 "$SETUP_LOG" >&2
    fi
    return "$status"
}

# --- system packages ------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null &&
        { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
        { as_root apt-get update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
                --no-install-recommends "$@"; }
}

# need_system REASON PACKAGE...: install what is missing, or say who has to.
need_system() {
    local reason="$1" missing=() name
    shift
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$name")
    done
    [ "${#missing[@]}" = 0 ] && return 0
    may_install ||
        die "$reason needs ${missing[*]}; run: sudo apt-get install ${missing[*]}"
    mkdir -p "$VENV"
    step "installing ${missing[*]} ($reason)" apt_install "${missing[@]}" ||
        die "apt-get could not install ${missing[*]}; install it by hand and run this again"
}

# --- which Python, with or without ROS --------------------------------------------------------

python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null
}

ros_is_sourced() {
    [ -n "${ROS_DISTRO:-}" ] && python3 -c 'import rclpy' 2>/dev/null
}

# Prefers an interpreter that can make an environment as it is.
find_python() {
    local name first=""
    for name in ${MONO_DEPTH_PYTHON:-python3.13 python3.12 python3.11 python3.10 python3.14 python3}
    do
        if ! command -v "$name" >/dev/null || ! python_fits "$name"; then continue; fi
        first="${first:-$name}"
        if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    echo "$first"
}

choose_python() {
    if ros_is_sourced; then
        ROS_MODE="installed $ROS_DISTRO"
        BASE_PYTHON=python3
        [ "${MONO_DEPTH_ROS:-$ROS_DISTRO}" = "$ROS_DISTRO" ] ||
            die "MONO_DEPTH_ROS is $MONO_DEPTH_ROS, but ROS $ROS_DISTRO is sourced: unset one of them"
        python_fits python3 || die "ROS $ROS_DISTRO uses $(python3 -V); Python 3.10 or newer is needed"
        return 0
    fi
    ROS_MODE="wheels"
    case "$DISTRIBUTION" in
    jazzy) ROS_EXTRA=ros ;;
    kilted) ROS_EXTRA="ros-$DISTRIBUTION" ;;
    *) die "MONO_DEPTH_ROS is $DISTRIBUTION; there are wheels of jazzy and kilted" ;;
    esac
    unset _ROS_WHEELS_BOOTSTRAP_COMPLETE # of another environment: ours has its own library path
    if [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
        die "rclpy has wheels for x86-64 Linux only and this is $(uname -s) $(uname -m): install" \
            "ROS 2 (https://docs.ros.org/en/jazzy/Installation.html)," \
            "run 'source /opt/ros/<distribution>/setup.bash' and then this again"
    fi
    [ -z "${ROS_DISTRO:-}" ] ||
        say "ROS_DISTRO is $ROS_DISTRO but python3 cannot import rclpy: using the wheels of rclpy"
    BASE_PYTHON="$(find_python)"
    if [ -z "$BASE_PYTHON" ] && [ -z "${MONO_DEPTH_PYTHON:-}" ] && ! command -v python3 >/dev/null
    then
        need_system "a Python interpreter" python3 python3-venv
        BASE_PYTHON="$(find_python)"
    fi
    [ -n "$BASE_PYTHON" ] ||
        die "no Python from 3.10 to 3.14 found (${MONO_DEPTH_PYTHON:-python3 is" \
            "$(python3 -V 2>&1)}); install one or name it in MONO_DEPTH_PYTHON"
}

# --- the environment --------------------------------------------------------------------------

make_venv() {
    local identity version options=()
    version="$("$BASE_PYTHON" -c 'import sys; print(sys.executable, sys.version.split()[0])')"
    identity="$VENV | $version | $ROS_MODE"
    if [ "$ROS_MODE" = wheels ] && [ "$DISTRIBUTION" != jazzy ]; then
        identity="$identity of $DISTRIBUTION"
    fi
    if [ -e "$VENV" ] && [ ! -e "$VENV/.made-for" ] && [ -e "$VENV/pyvenv.cfg" ]; then
        die "$VENV was not made by this script: move it away, or set MONO_DEPTH_VENV"
    fi
    [ "$(cat "$VENV/.made-for" 2>/dev/null)" = "$identity" ] && [ -e "$VENV/.complete" ] && return 0

    if ! "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        need_system "a virtual environment" \
            "python$("$BASE_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    rm -rf "$VENV"
    mkdir -p "$VENV"
    echo "$identity" >"$VENV/.made-for"
    [ "$ROS_MODE" = wheels ] || options+=(--system-site-packages)
    step "making $VENV with $version, ROS: $ROS_MODE" \
        "$BASE_PYTHON" -m venv "${options[@]}" "$VENV" ||
        die "$BASE_PYTHON could not make $VENV (see above)"
    step "updating pip" "$PYTHON" -m pip install --upgrade pip ||
        die "pip cannot reach its package index: check the network or the proxy (HTTPS_PROXY)"
    touch "$VENV/.complete"
}

has_nvidia_gpu() {
    [ -e /proc/driver/nvidia/version ] || [ -e /etc/nv_tegra_release ] ||
        { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
}

# The plain package brings gigabytes of CUDA, of no use without a GPU. The index of CPU builds is
# probed first because it is not reachable everywhere.
install_torch() {
    "$PYTHON" -c 'import torch; torch.zeros(1)' 2>/dev/null && return 0
    [ ! -e /etc/nv_tegra_release ] ||
        say "this is a Jetson without torch: only NVIDIA's own wheel of torch uses its GPU"
    if ! has_nvidia_gpu &&
        timeout 10 "$PYTHON" - "$TORCH_CPU_INDEX/torch/" 2>/dev/null <<'PROBE' &&
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5).close()
PROBE
        step "installing $TORCH for CPU" "$PYTHON" -m pip install --timeout 30 --retries 0 \
            --constraint "$VENV/constraints.txt" --index-url "$TORCH_CPU_INDEX" "$TORCH"
    then
        return 0
    fi
    step "installing $TORCH (the largest part; minutes on a slow line)" \
        "$PYTHON" -m pip install --constraint "$VENV/constraints.txt" "$TORCH" ||
        die "pip could not install $TORCH for $("$PYTHON" -V): check network and disk, run this again"
}

# The message packages of a ROS installation are compiled against its NumPy, and NumPy 2 breaks
# what was compiled against 1.
write_constraints() {
    : >"$VENV/constraints.txt"
    [ "$ROS_MODE" = wheels ] && return 0
    "$PYTHON" - >"$VENV/constraints.txt" <<'CONSTRAINTS'
import importlib.util
if importlib.util.find_spec("numpy"):
    import numpy
    if numpy.__version__.startswith("1."):
        print("numpy<2\nopencv-python-headless<4.12")
CONSTRAINTS
}

stamp_of() {
    cat "$PACKAGE/setup.py" "$PACKAGE/mono_depth/__init__.py" "${BASH_SOURCE[0]}" \
        "$VENV/.made-for" | cksum
    echo "$1"
}

# prepare_environment NAME EXTRAS
prepare_environment() {
    local name="$1" extras="$2" stamp
    choose_python
    make_venv
    [ "$ROS_MODE" != wheels ] || extras="$extras,$ROS_EXTRA"
    stamp="$(stamp_of "$extras")"
    if [ "$(cat "$VENV/.ready-$name" 2>/dev/null)" != "$stamp" ]; then
        write_constraints
        case ",$extras," in *,open3d,*) need_system "Open3D" libusb-1.0-0 libgl1 libgomp1 ;; esac
        install_torch
        step "installing mono_depth_ros[$extras]" "$PYTHON" -m pip install \
            --constraint "$VENV/constraints.txt" --editable "${PACKAGE}[$extras]" ||
            die "pip could not install mono_depth_ros[$extras] (see above; all of it in $SETUP_LOG)"
        "$PYTHON" -c 'import cv2, numpy, rclpy, sensor_msgs.msg, torch' ||
            die "the environment is incomplete: remove $VENV and run this again"
        echo "$stamp" >"$VENV/.ready-$name"
        say "environment ready"
    fi
    ros_settings
}

# Keeps DDS traffic on this machine, and large images and clouds from being lost.
ros_settings() {
    local profile="$PACKAGE/config/fastdds_large_messages.xml" free_mib
    free_mib="$(df --output=avail -BM /dev/shm 2>/dev/null | tail -n 1 | tr -dc 0-9)"
    [ "${free_mib:-0}" -ge 256 ] ||
        say "only ${free_mib:-0} MiB of shared memory are free in /dev/shm: large images and clouds" \
            "may be lost (container: docker run --shm-size=1g)"
    if [ "${ROS_DISTRO:-wheels}" = humble ]; then
        export ROS_LOCALHOST_ONLY="${ROS_LOCALHOST_ONLY:-1}"
    else
        export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
    fi
    if [ -z "${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}" ]; then
        export FASTRTPS_DEFAULT_PROFILES_FILE="$profile" FASTDDS_DEFAULT_PROFILES_FILE="$profile"
    fi
}

#!/usr/bin/env bash
# Sets everything up, then runs the depth node on a camera, a video or a synthetic scene and
# records what it publishes. Needs no camera, GPU, ROS installation or downloaded weights.
#
#   ./demo.sh [--source synthetic|VIDEO|FOLDER|/dev/videoN] [--seconds N] [--model NAME]
#             [--output DIR]
#
# MONO_DEPTH_ROS=kilted takes the wheels of ROS 2 Kilted, in .venv-kilted, instead of those of Jazzy.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
. "$ROOT/tools/setup.sh"

case " $* " in
*" -h "* | *" --help "*)
    if [ ! -e "$VENV/.ready-demo" ]; then
        sed -n '2,/^set /{s/^# \{0,1\}//;/^set /!p}' "${BASH_SOURCE[0]}"
        exit 0
    fi
    ;;
esac

prepare_environment demo onnx,demo
exec "$PYTHON" -m mono_depth_ros.demo "$@"

#!/usr/bin/env bash
# Sets everything up, then runs the checks and the whole test suite.
#
#   ./test.sh                    ruff, mypy, and every test but those of acceptance
#   ./test.sh --fast             tests that need no ROS and take little time: all within a minute
#   ./test.sh --acceptance       tests that take minutes: fuzz, soak, drives, every model
#   ./test.sh -k scan            pytest alone, with these arguments
#   ./test.sh tests/library      the same, one folder
#
# MONO_DEPTH_ROS=kilted takes the wheels of ROS 2 Kilted, in .venv-kilted, instead of those of Jazzy.
# The exit status is 0 only if every check passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. tools/setup.sh

case "${1:-}" in
-h | --help)
    sed -n '2,/^set /{s/^# \{0,1\}//;/^set /!p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

failed=()

check() {
    say "$*"
    "$PYTHON" -m "$@" || failed+=("$1")
}

# The pytest plugins of a ROS installation lag behind pytest itself; no test here needs them.
run_tests() {
    say "pytest $*"
    "$PYTHON" -m pytest -p no:launch_testing -p no:launch_ros -p no:launch_pytest "$@" ||
        failed+=("tests")
}

# run_side_by_side PROCESSES ARGUMENT...: each process runs on one thread.
run_side_by_side() {
    local processes="$1"
    shift
    OMP_NUM_THREADS=1 run_tests -n "$processes" --dist worksteal "$@"
}

prepare_environment test onnx,video,dev

# Hundreds of processes import the package and the tests: what one has compiled the others load.
unset PYTHONDONTWRITEBYTECODE

case "${1:-}" in
"")
    check ruff check
    check ruff format --check
    if [ "$ROS_MODE" = wheels ]; then
        check mypy
    else
        say "mypy skipped: the types of NumPy differ between ROS distributions"
    fi
    # one process more than there are cores, for many tests of nodes wait
    run_side_by_side "$(($(nproc) + 1))" -m "not acceptance and not alone"
    # only the files that have such tests: to collect them all takes as long as to run these
    mapfile -t files < <(grep -rl --include 'test_*.py' 'mark\.alone' "$PACKAGE/tests")
    run_tests -m "alone and not acceptance" "${files[@]}"
    ;;
--fast)
    shift
    [ "$#" != 0 ] || set -- "$PACKAGE/tests/library"
    run_side_by_side "$(nproc)" -m "not ros and not slow and not acceptance" "$@"
    ;;
--acceptance)
    shift
    run_tests -m acceptance "$@"
    ;;
*) run_tests -m "not acceptance" "$@" ;;
esac

if [ "${#failed[@]}" != 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi

#!/usr/bin/env bash
# Checks that no static object of Choir or of its engine is destroyed at the exit of a process: a thread of ours
# may still use it then (src/base/process_exit.h).
#   exit_statics.sh BUILD_DIR
set -euo pipefail

readonly core=$1/lib/libchoir_core.a
readonly registering=$(nm -A --undefined-only "$core" 2>/dev/null | grep -E ' U (__cxa_atexit|atexit)$' || true)
readonly ours=$(grep -v ':process_exit\.cc\.o:' <<<"$registering" || true)
if [[ -n $ours ]]; then
  printf 'static objects that are destroyed at exit; make them with new and never delete them:\n%s\n' "$ours"
  exit 1
fi
[[ -n $registering ]] || { echo "$core registers nothing for the exit"; exit 1; }
readonly engine=$(nm -A --undefined-only "$1"/engine/*/*.a 2>/dev/null | grep -E ' U (__cxa_atexit|atexit)$' || true)
if [[ -n $engine ]]; then
  printf 'static objects of the engine that are destroyed at exit:\n%s\n' "$engine"
  exit 1
fi

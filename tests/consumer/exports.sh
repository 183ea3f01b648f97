#!/usr/bin/env bash
# Checks that libchoir.so exports names of Choir only: the engine and all libraries inside it stay hidden.
#   exports.sh BUILD_DIR
set -euo pipefail

readonly library=$1/lib/libchoir.so
readonly names=$(nm --dynamic --defined-only --demangle --format=posix "$library")
grep -q 'choir::' <<<"$names" || { echo "$library exports nothing of Choir"; exit 1; }
readonly others=$(grep -v 'choir::' <<<"$names" || true)
if [[ -n $others ]]; then
  printf '%s exports names that are not ours:\n%s\n' "$library" "$others"
  exit 1
fi

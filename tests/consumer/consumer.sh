#!/usr/bin/env bash
# Installs a build into an empty folder, then configures, builds and runs the consumer project on it.
#   consumer.sh BUILD_DIR
set -euo pipefail

readonly build=$1
readonly here=$(cd "$(dirname "$0")" && pwd)
readonly work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log"
cmake --build "$work/build"
"$work/build/consumer"

# What was installed works from its own folder, too.
for program in bin/choir libexec/choir/choir-probe; do
  [[ -x $work/prefix/$program ]] || { echo "$program was not installed"; exit 1; }
done
"$work/prefix/bin/choir" version

#!/usr/bin/env bash
# What is compiled for one instruction set must not be linked into what runs on all: no inline function of ours or
# of a library may leave a copy in those objects that the linker could keep for everybody.
set -euo pipefail
objects=$(dirname "$CHOIR_BIN")/../src/CMakeFiles/choir_core.dir/kernels
for name in amx avx512 avx_vnni; do
  if shared=$(nm -C "$objects/$name.cc.o" | grep -E ' [WVu] (choir::|std::)'); then
    echo "$name.cc leaves functions that other CPUs may run:"
    echo "$shared"
    exit 1
  fi
done

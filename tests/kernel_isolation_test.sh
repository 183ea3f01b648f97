#!/usr/bin/env bash
# What is compiled for one instruction set must not be linked into what runs on all: no inline function of ours or
# of a library may leave a copy in those objects that the linker could keep for everybody. And a CPU that does not
# have an instruction set must not be led into its code.
set -euo pipefail
objects=$(dirname "$CHOIR_BIN")/../src/CMakeFiles/choir_core.dir/kernels
for name in amx avx512 avx_vnni; do
  if shared=$(nm -C "$objects/$name.cc.o" | grep -E ' [WVu] (choir::|std::)'); then
    echo "$name.cc leaves functions that other CPUs may run:"
    echo "$shared"
    exit 1
  fi
done

if ! command -v qemu-x86_64 >/dev/null; then
  echo "[ PARTLY   ] qemu-x86_64 is missing (Debian: qemu-user), which is a CPU without AVX-512"
  exit 0
fi
program=$(dirname "$CHOIR_BIN")/kernel_dispatch_test
other_cpu=(qemu-x86_64 -cpu Haswell "$program")
# The parts of the engine that come with it may be built for this CPU alone.
if ! "${other_cpu[@]}" --gtest_list_tests >/dev/null 2>&1; then
  echo "[ PARTLY   ] the engine is built for this CPU, so no other one can be emulated"
  exit 0
fi
for path in '' avx2 avx512 amx; do
  said=$(CHOIR_KERNELS=$path "${other_cpu[@]}" --gtest_filter=Dispatch.OfThisCpu 2>/dev/null) ||
    { echo "with CHOIR_KERNELS='$path': $said"; exit 1; }
  case $path in '' | avx2) expected=avx2 ;; *) expected="off (CHOIR_KERNELS=$path, which" ;; esac
  [[ $said == *"this CPU: $expected"* ]] || { echo "with CHOIR_KERNELS='$path' not '$expected': $said"; exit 1; }
done

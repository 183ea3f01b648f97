# choir_options: how our own files are compiled. The engine's are compiled by tools/engine.
add_library(choir_options INTERFACE)
target_compile_features(choir_options INTERFACE cxx_std_20)
target_compile_options(choir_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -fvisibility=hidden -fvisibility-inlines-hidden
  -ffunction-sections -fdata-sections)
target_link_options(choir_options INTERFACE -Wl,--gc-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Its -Wconversion has these two inside, which g++'s has not.
  target_compile_options(choir_options INTERFACE -Wno-sign-conversion -Wno-implicit-int-float-conversion)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(choir_options INTERFACE -Wno-restrict)  # false alarms in std::string, GCC bug 105651
endif()

if(CHOIR_WERROR)
  target_compile_options(choir_options INTERFACE -Werror)
endif()

# The engine's and our kernels use more than this where the CPU has it; for the rest it is enough, and the
# same on every machine (CHOIR_NATIVE is about the engine).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(choir_options INTERFACE -march=x86-64-v3)
endif()

if(CHOIR_SANITIZE STREQUAL "address")
  set(choir_sanitizer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  # The same build serves libFuzzer (tests/fuzz/), which asks what code an input reaches.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    list(APPEND choir_sanitizer -fsanitize=fuzzer-no-link)
  endif()
elseif(CHOIR_SANITIZE STREQUAL "thread")
  set(choir_sanitizer -fsanitize=thread)
elseif(NOT CHOIR_SANITIZE STREQUAL "")
  message(FATAL_ERROR "CHOIR_SANITIZE is '${CHOIR_SANITIZE}'; it takes 'address', 'thread' or nothing")
endif()
if(choir_sanitizer)
  target_compile_definitions(choir_options INTERFACE CHOIR_SANITIZED)
  target_compile_options(choir_options INTERFACE ${choir_sanitizer} -fno-omit-frame-pointer)
  target_link_options(choir_options INTERFACE ${choir_sanitizer})
endif()

find_program(CHOIR_CCACHE ccache)
if(CHOIR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CHOIR_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CHOIR_CCACHE})
endif()
find_program(CHOIR_LLD ld.lld)
if(CHOIR_LLD)
  target_link_options(choir_options INTERFACE -fuse-ld=lld)
endif()

# choir_sources(OUT_VAR PATTERN...): the files below this folder; the build sees new ones by itself.
macro(choir_sources out)
  file(GLOB_RECURSE ${out} CONFIGURE_DEPENDS ${ARGN})
endmacro()

# choir_program(NAME SOURCE...): an executable of ours in build/bin, which finds libchoir beside it.
function(choir_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE choir_options)
  set_target_properties(${name} PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
endfunction()

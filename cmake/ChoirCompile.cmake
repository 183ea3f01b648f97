# choir_options: how our own files are compiled. The engine's are compiled by tools/engine.
add_library(choir_options INTERFACE)
target_compile_features(choir_options INTERFACE cxx_std_20)
target_compile_options(choir_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -fvisibility=hidden -fvisibility-inlines-hidden
  -ffunction-sections -fdata-sections
  -ffp-contract=off)  # the same bits whatever the compiler inlines; fused multiply-adds are written out
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

# choir_unity(TARGET SOURCE...): with CHOIR_UNITY, these files of the target, below the current folder, are compiled
# eight at once. So names in their unnamed namespaces differ from those of their neighbours. CMake's own UNITY_BUILD
# writes whole paths, with which checkouts in different folders would share nothing in ccache.
function(choir_unity target)
  if(NOT CHOIR_UNITY)
    return()
  endif()
  set(unit 0)
  set(rest ${ARGN})
  while(rest)
    math(EXPR unit "${unit} + 1")
    list(SUBLIST rest 0 8 some)
    list(REMOVE_ITEM rest ${some})
    set(text "")
    foreach(source ${some})
      cmake_path(RELATIVE_PATH source)
      string(APPEND text "#include \"${source}\"\n")
    endforeach()
    set(file ${CMAKE_CURRENT_BINARY_DIR}/${target}_unity/${unit}.cc)
    file(CONFIGURE OUTPUT ${file} CONTENT "${text}")
    target_sources(${target} PRIVATE ${file})
  endwhile()
  set_source_files_properties(${ARGN} PROPERTIES HEADER_FILE_ONLY ON)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # it takes these files for headers
  endif()
endfunction()

# choir_program(NAME SOURCE...): an executable of ours in build/bin, which finds libchoir beside it.
function(choir_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE choir_options)
  set_target_properties(${name} PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
endfunction()

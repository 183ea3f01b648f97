# choir_engine: the pinned llama.cpp as static archives, and its headers, public and internal.
#
# tools/engine builds it once per flavour into a cache and prints where; CHOIR_ENGINE_DIR skips that.
if(CHOIR_SANITIZE STREQUAL "address")
  set(choir_engine_flavour asan)
elseif(CHOIR_SANITIZE STREQUAL "thread")
  set(choir_engine_flavour tsan)
else()
  set(choir_engine_flavour release)
endif()

if(CHOIR_ENGINE_DIR)
  set(choir_engine_dir ${CHOIR_ENGINE_DIR})
else()
  if(CHOIR_NATIVE)
    set(choir_engine_native ON)
  else()
    set(choir_engine_native OFF)
  endif()
  set(choir_engine_environment
    CHOIR_NATIVE=${choir_engine_native} CC=${CMAKE_C_COMPILER} CXX=${CMAKE_CXX_COMPILER})
  if(CHOIR_LLAMA_SOURCE_DIR)
    list(APPEND choir_engine_environment CHOIR_LLAMA_SOURCE_DIR=${CHOIR_LLAMA_SOURCE_DIR})
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env ${choir_engine_environment}
            ${PROJECT_SOURCE_DIR}/tools/engine ${choir_engine_flavour}
    OUTPUT_VARIABLE choir_engine_dir OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE choir_engine_status)
  if(NOT choir_engine_status EQUAL 0)
    message(FATAL_ERROR "tools/engine ${choir_engine_flavour} failed; its message stands above")
  endif()
endif()
file(READ ${choir_engine_dir}/commit choir_engine_commit)
string(STRIP "${choir_engine_commit}" choir_engine_commit)
message(STATUS "Engine: ${choir_engine_dir}")

add_library(choir_engine INTERFACE)
# Without vendor/: its JSON library would hide the system's, which is ours.
foreach(folder include ggml/include ggml/src ggml/src/ggml-cpu src common)
  target_include_directories(choir_engine SYSTEM INTERFACE ${choir_engine_dir}/source/${folder})
endforeach()
# Copies of the archives whose static objects are never destroyed: a process may exit while its threads still
# compute or load (src/base/process_exit.h).
cmake_path(GET choir_engine_dir FILENAME choir_engine_name)
set(choir_engine_lib ${PROJECT_BINARY_DIR}/engine/${choir_engine_name})
file(MAKE_DIRECTORY ${choir_engine_lib})
# The archives use each other in circles, so they go as one group.
set(choir_engine_archives -Wl,--start-group)
foreach(archive llama-common llama-common-base llama ggml ggml-cpu ggml-base cpp-httplib)
  set(choir_archive ${choir_engine_lib}/lib${archive}.a)
  if(${choir_engine_dir}/lib/lib${archive}.a IS_NEWER_THAN ${choir_archive})
    execute_process(
      COMMAND ${CMAKE_OBJCOPY} --redefine-sym __cxa_atexit=choir_keep_static
              ${choir_engine_dir}/lib/lib${archive}.a ${choir_archive}
      RESULT_VARIABLE choir_objcopy_status)
    if(NOT choir_objcopy_status EQUAL 0)
      message(FATAL_ERROR "objcopy could not copy lib${archive}.a; its message stands above")
    endif()
  endif()
  list(APPEND choir_engine_archives ${choir_archive})
endforeach()
list(APPEND choir_engine_archives -Wl,--end-group)
add_library(choir_engine_statics STATIC ${PROJECT_SOURCE_DIR}/src/engine/keep_statics.c)
target_link_libraries(choir_engine INTERFACE
  ${choir_engine_archives} choir_engine_statics Threads::Threads ${CMAKE_DL_LIBS} m)

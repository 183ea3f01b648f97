# The files of the dashboard, web/dist, inside choir_serve: an assembler file of .incbin lines and the table that
# serve/ui_files.h declares. web/dist/manifest has a line for each: PATH, CONTENT-TYPE, and hashed or plain, with tabs
# between; beside each file is PATH.gz. Without web/dist, or with CHOIR_UI=OFF, the table is empty.
option(CHOIR_UI "Put the dashboard into choir" ON)

set(choir_dist ${PROJECT_SOURCE_DIR}/web/dist)
set(choir_ui_rows "")
set(choir_ui_symbols "")
set(choir_ui_sections "")
set(choir_ui_files "")
file(GLOB choir_manifest CONFIGURE_DEPENDS ${choir_dist}/manifest)
if(CHOIR_UI AND choir_manifest)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${choir_manifest})
  file(STRINGS ${choir_manifest} choir_lines)
  set(choir_index 0)
  foreach(line IN LISTS choir_lines)
    if(NOT line MATCHES "^([A-Za-z0-9._/-]+)\t([A-Za-z0-9+./=_ -]+|[A-Za-z0-9+./_-]+; charset=[A-Za-z0-9-]+)\t(hashed|plain)$")
      message(FATAL_ERROR "${choir_manifest}: '${line}' is not PATH, CONTENT-TYPE, and hashed or plain, with tabs between")
    endif()
    set(choir_path ${CMAKE_MATCH_1})
    set(choir_type "${CMAKE_MATCH_2}")
    set(choir_hashed false)
    if(CMAKE_MATCH_3 STREQUAL "hashed")
      set(choir_hashed true)
    endif()
    foreach(form bytes gzip)
      set(choir_file ${choir_dist}/${choir_path})
      if(form STREQUAL "gzip")
        string(APPEND choir_file ".gz")
      endif()
      if(NOT EXISTS ${choir_file})
        message(FATAL_ERROR "${choir_manifest} names ${choir_file}, which is not there")
      endif()
      list(APPEND choir_ui_files ${choir_file})
      set(choir_symbol choir_ui_${choir_index}_${form})
      string(APPEND choir_ui_sections
        ".globl ${choir_symbol}\n.hidden ${choir_symbol}\n${choir_symbol}:\n.incbin \"${choir_file}\"\n"
        ".globl ${choir_symbol}_end\n.hidden ${choir_symbol}_end\n${choir_symbol}_end:\n.byte 0\n")
      string(APPEND choir_ui_symbols "extern const char ${choir_symbol}[];\nextern const char ${choir_symbol}_end[];\n")
    endforeach()
    set(choir_span "choir_ui_${choir_index}")
    string(APPEND choir_ui_rows
      "    {\"${choir_path}\", \"${choir_type}\", ${choir_hashed},\n"
      "     {${choir_span}_bytes, static_cast<std::size_t>(${choir_span}_bytes_end - ${choir_span}_bytes)},\n"
      "     {${choir_span}_gzip, static_cast<std::size_t>(${choir_span}_gzip_end - ${choir_span}_gzip)}},\n")
    math(EXPR choir_index "${choir_index} + 1")
  endforeach()
endif()

if(choir_ui_rows STREQUAL "")
  set(choir_ui_table "  return {};\n")
else()
  set(choir_ui_table "  static const std::vector<UiFile> kFiles = {\n${choir_ui_rows}  };\n  return kFiles;\n")
endif()
set(choir_ui_dir ${PROJECT_BINARY_DIR}/dashboard)
file(CONFIGURE OUTPUT ${choir_ui_dir}/ui_table.cc @ONLY CONTENT
"// Written by cmake/ChoirDashboard.cmake.
#include <cstddef>
#include <vector>

#include \"serve/ui_files.h\"

extern \"C\" {
@choir_ui_symbols@}

namespace choir::serve {

std::span<const UiFile> embedded_ui() {
@choir_ui_table@}

}  // namespace choir::serve
")
target_sources(choir_serve PRIVATE ${choir_ui_dir}/ui_table.cc)
if(choir_ui_files)
  enable_language(ASM)
  file(CONFIGURE OUTPUT ${choir_ui_dir}/assets.S @ONLY CONTENT
"/* Written by cmake/ChoirDashboard.cmake. */
.section .rodata
@choir_ui_sections@.section .note.GNU-stack,\"\",%progbits
")
  # Apart from our own files: their options are not for an assembler.
  add_library(choir_ui_assets OBJECT ${choir_ui_dir}/assets.S)
  set_source_files_properties(${choir_ui_dir}/assets.S PROPERTIES OBJECT_DEPENDS "${choir_ui_files}")
  target_sources(choir_serve PRIVATE $<TARGET_OBJECTS:choir_ui_assets>)
endif()

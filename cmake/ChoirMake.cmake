# `make TARGET` in the build folder whatever the generator: a Makefile that hands every target on. One that CMake
# itself has generated is left alone.
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_GENERATOR MATCHES "Makefiles")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/Makefile @ONLY CONTENT
"# Written by cmake/ChoirMake.cmake: what is made is made by @CMAKE_GENERATOR@.
.DEFAULT_GOAL := all
.NOTPARALLEL:
Makefile FORCE: ;
%: FORCE
	@'@CMAKE_COMMAND@' --build '@PROJECT_BINARY_DIR@' --target '$@'
")
endif()

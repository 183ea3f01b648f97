# install: the library, its headers and programs, and what find_package(choir) needs.
include(CMakePackageConfigHelpers)

install(TARGETS choir choir_parallel EXPORT choirTargets)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET choir_app)
  install(TARGETS choir_app)
endif()
if(TARGET choir-probe)
  install(TARGETS choir-probe DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/choir)
endif()

set(choir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/choir)
install(EXPORT choirTargets NAMESPACE choir:: DESTINATION ${choir_package_dir})
configure_package_config_file(cmake/choirConfig.cmake.in choirConfig.cmake
  INSTALL_DESTINATION ${choir_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/choirConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/choirConfig.cmake ${PROJECT_BINARY_DIR}/choirConfigVersion.cmake
  DESTINATION ${choir_package_dir})

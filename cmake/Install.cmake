# cmake --install, and find_package(decovec) from another project.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/decovec)
set_target_properties(decovec decovec_program PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${DECOVEC_LIBTORCH}/lib")
install(TARGETS decovec EXPORT decovec-targets)
install(TARGETS decovec_program)
install(DIRECTORY include/decovec DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT decovec-targets NAMESPACE decovec:: DESTINATION ${package_folder})
configure_package_config_file(cmake/decovec-config.cmake.in ${CMAKE_BINARY_DIR}/decovec-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/decovec-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/decovec-config.cmake ${CMAKE_BINARY_DIR}/decovec-config-version.cmake
              cmake/LibTorch.cmake
        DESTINATION ${package_folder})

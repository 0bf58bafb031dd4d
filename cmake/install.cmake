# Installs the library, its headers and the files that find_package(runnel) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(runnel_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/runnel)
install(TARGETS runnel EXPORT runnelTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(RUNNEL_BUILD_EXPLORE)
  install(TARGETS runnel_explore EXPORT runnelTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/runnel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT runnelTargets NAMESPACE runnel:: DESTINATION ${runnel_package_dir})

configure_package_config_file(cmake/runnelConfig.cmake.in runnelConfig.cmake
  INSTALL_DESTINATION ${runnel_package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(runnelConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/runnelConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/runnelConfigVersion.cmake
        DESTINATION ${runnel_package_dir})

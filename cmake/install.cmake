# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` puts under the prefix: lib/libosv.a with only osv_* globals (made by
# tools/archive.py), include/osv/, the CMake package and the pkg-config file.
# A sanitizer build is for testing and cannot be installed.
if(OSV_SANITIZE OR OSV_FUZZ)
  return()
endif()

include(CMakePackageConfigHelpers)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

get_property(headers GLOBAL PROPERTY OSV_HEADERS)
list(TRANSFORM headers PREPEND ${PROJECT_SOURCE_DIR}/include/osv/)
set(backend_dirs $<TARGET_PROPERTY:osv_backend_headers,INTERFACE_INCLUDE_DIRECTORIES>)
file(GLOB_RECURSE backend_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/platform/*.h)

set(stage ${PROJECT_BINARY_DIR}/install)
set(tool ${PROJECT_SOURCE_DIR}/tools/archive.py)
add_custom_command(OUTPUT ${stage}/libosv.a
  COMMAND Python3::Interpreter -B ${tool} --core $<TARGET_FILE:osv_core> --output ${stage}
    --headers ${headers} --backend ${backend_dirs} --define OSV_DEBUG=$<BOOL:${OSV_DEBUG}>
    --ld ${CMAKE_LINKER} --nm ${CMAKE_NM} --objcopy ${CMAKE_OBJCOPY} --ar ${CMAKE_AR}
  DEPENDS osv_core ${headers} ${backend_headers} ${tool}
  COMMAND_EXPAND_LISTS VERBATIM COMMENT "Making the library that is installed")
add_custom_target(osv_archive ALL DEPENDS ${stage}/libosv.a)

# What a program that links libosv.a needs besides: what platform/ found for osv_core.
set(OSV_CONFIG_LIBRARIES Threads::Threads)
set(OSV_PC_REQUIRES "")
if(URCU_FOUND)
  list(APPEND OSV_CONFIG_LIBRARIES ${URCU_LIBRARIES})
  set(OSV_PC_REQUIRES ${URCU_MODULE_NAME})
endif()
configure_file(cmake/osv.pc.in ${stage}/osv.pc @ONLY)
configure_package_config_file(cmake/osvConfig.cmake.in ${stage}/osvConfig.cmake
  INSTALL_DESTINATION lib/cmake/osv)
write_basic_package_version_file(${stage}/osvConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(FILES ${stage}/libosv.a DESTINATION lib)
install(DIRECTORY ${stage}/include/osv DESTINATION include)
install(FILES ${stage}/osv.pc DESTINATION lib/pkgconfig)
install(FILES ${stage}/osvConfig.cmake ${stage}/osvConfigVersion.cmake DESTINATION lib/cmake/osv)

# SPDX-License-Identifier: BSD-3-Clause
# CTest rows about the tree and the library as a whole. They run once, in the native configuration `host`.
if(NOT OSV_CONFIG_NAME STREQUAL "host" OR CMAKE_CROSSCOMPILING)
  return()
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(tools ${PROJECT_SOURCE_DIR}/tools)
function(osv_check name)
  add_test(NAME ${OSV_CONFIG_NAME}.${name} COMMAND Python3::Interpreter -B ${ARGN} COMMAND_EXPAND_LISTS)
  set_tests_properties(${OSV_CONFIG_NAME}.${name} PROPERTIES TIMEOUT 300 LABELS check)
endfunction()

osv_check(tidy ${tools}/tidy.py ${PROJECT_SOURCE_DIR})
osv_check(tidy_self ${tools}/tidy.py --self-test)

execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libc.so.6
  OUTPUT_VARIABLE libc OUTPUT_STRIP_TRAILING_WHITESPACE)
osv_check(symbols ${tools}/symbols.py --nm ${CMAKE_NM} --libc ${libc} $<TARGET_FILE:osv_core>)

osv_check(install ${tools}/install_test.py --build ${PROJECT_BINARY_DIR}
  --work ${PROJECT_BINARY_DIR}/install-test --root ${PROJECT_SOURCE_DIR} --cc ${CMAKE_C_COMPILER})

# SPDX-License-Identifier: BSD-3-Clause
# The flags that all our C code is built with: the target osv_flags.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(osv_flags INTERFACE)
target_compile_options(osv_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
  -fno-omit-frame-pointer -fno-stack-protector -fno-strict-aliasing -fno-common -fvisibility=hidden>)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  target_compile_options(osv_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Wthread-safety>)
endif()
if(OSV_DEBUG)
  target_compile_definitions(osv_flags INTERFACE OSV_DEBUG=1)
else()
  target_compile_definitions(osv_flags INTERFACE OSV_DEBUG=0)
endif()

set(OSV_TEST_ENVIRONMENT "")
set(OSV_TEST_LAUNCHER ${CMAKE_CROSSCOMPILING_EMULATOR})
set(OSV_TEST_SCALE_DEFAULT 1.0)
if(OSV_SANITIZE)
  target_compile_options(osv_flags INTERFACE -fsanitize=${OSV_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(osv_flags INTERFACE -fsanitize=${OSV_SANITIZE})
  set(OSV_TEST_SCALE_DEFAULT 0.1)
endif()
if(CMAKE_CROSSCOMPILING)
  set(OSV_TEST_SCALE_DEFAULT 0.05)
endif()

# The include directories of the backend; platform/<backend>/CMakeLists.txt fills it.
add_library(osv_backend_headers INTERFACE)

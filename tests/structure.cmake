# Checks of the source text and of the code that compilers make of it.

runnel_check(layers)
runnel_check(seams)
runnel_check(atomics)
runnel_check(docs)
runnel_check(promises)
runnel_check(options)
add_test(NAME structure/checks_detect COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_SOURCE_DIR}/tools/checks_detect.py)
runnel_test_properties(structure/checks_detect structure)

# No function of runnel keeps a thread's address; tls_known_bad shows that the check finds those that do.
add_executable(tls_probe tls/tls_probe.cpp)
target_link_libraries(tls_probe PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,runnel::runnel>)
runnel_warnings(tls_probe)
runnel_check(tls $<TARGET_FILE:tls_probe>)

add_executable(tls_known_bad tls/tls_known_bad.cpp)
target_compile_options(tls_known_bad PRIVATE -O2)
add_test(NAME structure/tls_detects COMMAND ${Python3_EXECUTABLE}
  ${PROJECT_SOURCE_DIR}/tools/check_tls.py
  --expect runnel::tls_known_bad::increments
  --expect runnel::tls_known_bad::read_template
  --expect runnel::tls_known_bad::sets_errno
  $<TARGET_FILE:tls_known_bad>)
runnel_test_properties(structure/tls_detects structure)

# Headers: each compiles alone, and twice.

file(GLOB_RECURSE headers CONFIGURE_DEPENDS
  RELATIVE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/include/*.hpp)
set(header_units "")
foreach(header IN LISTS headers)
  string(REPLACE "/" "_" unit ${header})
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/header_check/${unit}.cpp)
  file(CONFIGURE OUTPUT ${unit} CONTENT "#include <${header}>\n#include <${header}>\n")
  list(APPEND header_units ${unit})
endforeach()
add_library(runnel_header_check OBJECT ${header_units})
target_link_libraries(runnel_header_check PRIVATE runnel::runnel)
runnel_warnings(runnel_header_check)

# What must not compile.

set(compile_command ${CMAKE_CXX_COMPILER} -std=c++20 -I${PROJECT_SOURCE_DIR}/include -Wall -Wextra
  -Werror)
if(RUNNEL_CHECKED)
  list(APPEND compile_command -DRUNNEL_CHECKED=1)
endif()
file(GLOB sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} negative_compile/*.cpp)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND compile_command -Wthread-safety)
else()
  list(FILTER sources EXCLUDE REGEX "thread_safety_")  # an analysis of clang
endif()
foreach(source IN LISTS sources)
  string(REGEX REPLACE "\\.cpp$" "" name ${source})
  add_test(NAME ${name}
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/negative_compile.py
            ${CMAKE_CURRENT_SOURCE_DIR}/${source} -- ${compile_command})
  runnel_test_properties(${name} negative_compile)
endforeach()

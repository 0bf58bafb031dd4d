# What every test of this project runs under.
set(runnel_test_scale 1)
set(runnel_test_timeout 300)  # a guard against hangs, not a measurement
if(RUNNEL_SANITIZE STREQUAL "address")
  set(runnel_test_scale 4)
  set(runnel_test_timeout 600)
elseif(RUNNEL_SANITIZE STREQUAL "thread")
  set(runnel_test_scale 10)
  set(runnel_test_timeout 600)
endif()
if(CMAKE_CROSSCOMPILING)
  set(runnel_test_scale 20)  # an emulator
endif()
set(RUNNEL_TEST_SCALE ${runnel_test_scale} CACHE STRING "Tests divide their sizes by this")
set(runnel_test_environment
  RUNNEL_TEST_SCALE=${RUNNEL_TEST_SCALE}
  GTEST_COLOR=no
  "TSAN_OPTIONS=halt_on_error=1 atexit_sleep_ms=0 second_deadlock_stack=1"
  ASAN_OPTIONS=detect_stack_use_after_return=1
  UBSAN_OPTIONS=print_stacktrace=1)

if(CMAKE_CROSSCOMPILING)
  # A death test starts its own program anew, which this machine cannot run without the emulator.
  list(APPEND runnel_test_environment GTEST_FILTER=-*death_test*)
endif()

function(runnel_test_properties name label)
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${runnel_test_timeout} ENVIRONMENT "${runnel_test_environment}" LABELS ${label})
endfunction()

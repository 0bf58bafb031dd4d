# Builds the library, and everything linked to it, for the sanitizer that RUNNEL_SANITIZE names.
function(runnel_sanitize target)
  if(RUNNEL_SANITIZE STREQUAL "")
    return()
  elseif(RUNNEL_SANITIZE STREQUAL "address")
    set(flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(${target} PUBLIC "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
    target_link_options(${target} PUBLIC ${flags})
    target_compile_definitions(${target} PRIVATE RUNNEL_ASAN=1)
  elseif(RUNNEL_SANITIZE STREQUAL "thread")
    # The library itself is not instrumented: the atomics of its scheduler would order fibers that the
    # program does not order, and hide their races. It announces the real edges itself.
    target_compile_options(${target} INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread>")
    target_compile_options(${target} PUBLIC "$<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>")
    target_link_options(${target} PUBLIC -fsanitize=thread)
    target_compile_definitions(${target} PUBLIC RUNNEL_TSAN=1)
    # Inline variables as plain weak symbols, which the merged object below can share with the program.
    target_compile_options(${target} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>")
    find_program(RUNNEL_GNU_LD NAMES ld.bfd REQUIRED)  # lld cannot dissolve groups
    mark_as_advanced(RUNNEL_GNU_LD)
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${PROJECT_SOURCE_DIR}/cmake/localize_weak.sh $<TARGET_FILE:${target}>
              ${RUNNEL_GNU_LD} ${CMAKE_NM} ${CMAKE_OBJCOPY} ${CMAKE_AR})
  else()
    message(FATAL_ERROR "RUNNEL_SANITIZE is '${RUNNEL_SANITIZE}'; it may be empty, address or thread")
  endif()
endfunction()

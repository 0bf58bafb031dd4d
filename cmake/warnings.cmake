# The warnings that every target of this project compiles under.
function(runnel_warnings target)
  set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    # g++ 12 at -O3 takes an empty std::optional's storage for read; clang checks the same and does not
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    # newer clang calls [tx = tx] of a structured binding a shadow; older ones need that very form
    $<$<AND:$<CXX_COMPILER_ID:Clang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,16>>:-Wno-shadow>)
  if(RUNNEL_WERROR)
    list(APPEND warnings -Werror)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
endfunction()

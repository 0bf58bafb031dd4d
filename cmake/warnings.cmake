# The warnings that every target of this project compiles under.
function(runnel_warnings target)
  set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
  if(RUNNEL_WERROR)
    list(APPEND warnings -Werror)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
endfunction()

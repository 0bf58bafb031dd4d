#include <runnel/error.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

void throw_misuse(const char* what) { throw misuse(what); }

}  // namespace runnel::inline RUNNEL_ABI::detail

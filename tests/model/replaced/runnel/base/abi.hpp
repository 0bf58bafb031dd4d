// Stands in for <runnel/base/abi.hpp> in a model build: it links with no other.
#pragma once

#define RUNNEL_ABI modelled

namespace runnel::inline RUNNEL_ABI::detail {
inline constexpr bool exploring = false;
}  // namespace runnel::inline RUNNEL_ABI::detail

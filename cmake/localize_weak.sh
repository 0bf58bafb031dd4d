#!/bin/sh
# Makes the weak functions of an archive local to it: localize_weak.sh ARCHIVE LD NM OBJCOPY AR
#
# In the tsan build the library is not instrumented and the program is. Of an inline function that both contain
# the linker would keep one: the library's, and ThreadSanitizer is blind in the user's calls of it, or the
# user's, and the scheduler's own atomics order what the program does not order.
set -eu
archive=$1 ld=$2 nm=$3 objcopy=$4 ar=$5
object=$archive.o

# Without its group, a function is not discarded in favour of another object's.
"$ld" -r --force-group-allocation --whole-archive "$archive" -o "$object"
"$nm" --defined-only "$object" | awk '$2 == "W" { print $3 }' >"$archive.weak"
"$objcopy" --localize-symbols="$archive.weak" "$object"
rm "$archive"
"$ar" rcs "$archive" "$object"
rm "$object" "$archive.weak"

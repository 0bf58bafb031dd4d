"""Takes demangled names of functions apart."""
import re

_OPERATOR = re.compile(r"operator ?(\(\)|<=>|<<=|>>=|<<|>>|<=|>=|->\*|->|<|>)")
_ABI = re.compile(r"\brunnel::(checked|release)::")
_TRAILERS = {"const", "volatile", "&", "&&", "noexcept"}


def without_groups(name):
    """The name without template arguments, parameter lists and clone suffixes."""
    name = re.sub(r" \[clone [^\]]*\]|\[abi:\w+\]", "", name)
    name = name.replace("(anonymous namespace)", "{anonymous}")
    name = _OPERATOR.sub("operator_symbol", name)
    kept, stack = [], []
    for character in name:
        if character in "<(":
            stack.append(character)
        elif character == ")" and "(" in stack:
            while stack.pop() != "(":
                pass
        elif character == ">" and stack and stack[-1] == "<":
            stack.pop()
        elif not stack:
            kept.append(character)
    return "".join(kept)


def function_name(name):
    """The qualified name of the function alone, without the inline namespace of the build's flavour."""
    words = without_groups(name).replace("operator ", "operator_").split()
    while words and words[-1] in _TRAILERS:
        words.pop()
    return _ABI.sub("runnel::", words[-1]) if words else name

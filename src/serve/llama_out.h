// llama.cpp's dialect of POST /completion.
//
// Pure: any thread, does not block.
#pragma once

#include "serve/dialect.h"

namespace choir::serve {

const Dialect& llama_completion();

}  // namespace choir::serve

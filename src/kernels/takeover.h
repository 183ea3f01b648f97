// Our kernels in ggml's CPU backend, with no patch: ggml asks every entry of its list of extra
// buffer types, for every operation, whether it wants to compute it.
#pragma once

#include <string>

namespace choir::kernels {

// Puts our buffer type at the front of ggml's list. Before the first model is loaded, because ggml
// copies the list then; once for the process. Does nothing where no kernels run (active_table).
void take_over();

// The kernels that run, or why none: "avx512", "off (CHOIR_KERNELS=off)".
std::string path_text();

// Logs it, once in the process, where CHOIR_KERNELS names no kernels that there are. For callers
// that are about to compute; path_text() says it to others.
void warn_of_unknown_path();

// What ggml expects as the context of our buffer type.
void* takeover_context();

}  // namespace choir::kernels

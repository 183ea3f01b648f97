// llama.cpp's process-wide state: its start, and its log lines, which go through ours.
#pragma once

#include <string>

namespace choir {

// Starts llama.cpp once per process and turns its log into ours. Cheap when done already.
void start_llama();

// The last warning or error that llama.cpp printed on this thread since clear_engine_complaint(),
// in one line; empty when there was none. It is the only place where llama.cpp says why.
std::string engine_complaint();
void clear_engine_complaint();

}  // namespace choir

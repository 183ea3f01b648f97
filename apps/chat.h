// A conversation at the terminal: reads lines, prints answers, keeps the history.
#pragma once

#include "choir/request.h"
#include "generation.h"

namespace choir::app {

// `settings` has everything but the prompt. Returns the exit code: 0 after /exit or Ctrl-D, 130
// after Ctrl-C at the prompt; Ctrl-C during an answer ends that answer and keeps what there is of
// it.
Result<int> chat(OpenModel& model, const Request& settings, const std::string& system, bool raw);

// What follows an answer on a terminal: how many tokens, how fast, and why it ended.
std::string summary(const Completion& completion);

}  // namespace choir::app

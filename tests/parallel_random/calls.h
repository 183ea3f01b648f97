// Every call of parallel/parallel_llm_execution.h, with arguments by chance.
#pragma once

#include <string>
#include <vector>

#include "tests/parallel_random/stage.h"

namespace choir::parallel {

// One thread of a run.
struct Actor {
  Stage& stage;
  std::size_t index;
  Dice dice;
  // Histories as last seen, by executor and the number a context was born with.
  std::map<std::pair<const void*, std::string>, std::vector<std::string>> histories;

  void step(const std::string& call) { stage.watchdog.step(index, call); }
};

// One call, told to the watchdog first.
void call(Actor& actor);

}  // namespace choir::parallel

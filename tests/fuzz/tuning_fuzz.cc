// runtime/tuning: the file that `choir tune` keeps.
#include "runtime/tuning.h"

#include "choir/machine.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const choir::Machine machine;
  const choir::FoundTuning found =
      choir::judge_tuning(choir::fuzz::text_of(data, size), "tuning.json", machine, {});
  using State = choir::FoundTuning::State;
  if (found.state == State::kUsed || found.state == State::kElsewhere)
    choir::fuzz::expect(found.tuning.lanes_max >= 1 && found.tuning.lanes_max <= found.tuning.cores,
                        "lanes are within the cores");
  else
    choir::fuzz::expect(found.state == State::kBroken && !found.why.empty(),
                        "a refusal has a reason");
  return 0;
}

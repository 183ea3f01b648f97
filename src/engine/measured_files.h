// What configurations take on model files that were looked at before: somebody who tries sizes asks
// many times for one file, of which most of the time goes into its vocabulary.
//
// Any thread.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "engine/file_check.h"
#include "engine/trial.h"

namespace choir {

class MeasuredFiles {
 public:
  static constexpr std::size_t kAnswersMax = 64;  // kept; the oldest go

  // As measure_file(). A file that has changed has another identity, and is read again.
  Result<ExecutorBytes> measure(const CheckedFile& file, const EngineConfig& config);
  // Frees the file that is kept open, which takes the memory of a vocabulary (10 to 100 MiB).
  void close();

 private:
  struct Answer {
    std::string identity;
    EngineConfig config;
    ExecutorBytes bytes;
  };
  struct Known {
    std::vector<Answer> answers;  // oldest first
    std::string identity;         // of the file that is open
    std::shared_ptr<const MeasuredFile> file;
  };
  Result<std::shared_ptr<const MeasuredFile>> open(const CheckedFile& file);

  Guarded<Known> known_;
};

}  // namespace choir

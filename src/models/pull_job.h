// One fetch into the models folder: where its pieces lie and what every kind of source shares.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "choir/catalog.h"
#include "models/recipe.h"
#include "models/stamp.h"

namespace choir {

// The ends of messages about the disk that the models are on (base/disk.h).
inline constexpr std::string_view kModelsElsewhere = "set CHOIR_MODELS to another disk";
inline constexpr std::string_view kModelsFolderAdvice =
    "set CHOIR_MODELS to one that you may write to";

struct PullJob {
  std::string final_path;  // MODELS/NAME.gguf
  std::string work;        // MODELS/.partial/NAME.gguf/, deleted with the job done
  Wanted wanted;
  const PullOptions* options = nullptr;

  std::string data_path() const { return work + "/data"; }  // becomes final_path
};

bool is_cancelled(const PullJob& job);
Error stopped();  // kCancelled

void report(const PullJob& job, std::string_view step, std::uint64_t bytes_done,
            std::uint64_t bytes_total);

// As pull() with a catalogue name, for a recipe that need not be in the catalogue.
Result<std::string> pull_recipe(const Recipe& recipe, const PullOptions& options);

}  // namespace choir

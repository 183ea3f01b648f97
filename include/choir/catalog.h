// Models on disk, and models that can be fetched by name.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/export.h"
#include "choir/result.h"

namespace choir {

// A model that Choir knows how to fetch.
struct CatalogEntry {
  std::string name;         // "smollm2-135m"
  std::string description;  // one line
  std::string license;      // shown before it is fetched
  std::uint64_t bytes = 0;  // of the finished file
  std::string sha256;
  std::string file;  // its name in the models folder
};

struct LocalModel {
  std::string name;  // of the catalogue, or the file name without .gguf
  std::string path;
  std::uint64_t bytes = 0;
};

struct PullProgress {
  std::string
      step;  // "waiting" (another pull of it runs), "fetching", "unpacking", "checking", "done"
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  // 0: not known
};

struct PullOptions {
  std::string sha256;  // expected; empty: the catalogue's, or unchecked for file: and https:
  std::string name;    // file name to store under; empty: from the source
  std::function<void(const PullProgress&)> progress;  // on the calling thread
  const std::atomic<bool>* cancel = nullptr;          // polled; becomes kCancelled
};

CHOIR_API const std::vector<CatalogEntry>& catalog();

// CHOIR_MODELS, else CHOIR_CACHE/models, else XDG_CACHE_HOME/choir/models, else
// ~/.cache/choir/models. Not created here.
CHOIR_API std::string models_folder();

// GGUF files in the models folder, by name. A folder that cannot be read is an error that names it.
CHOIR_API Result<std::vector<LocalModel>> local_models();

// `name` as a user writes it: a path to a file, a name in the models folder, or a catalogue name
// that has been fetched. kNotFound tells what to do (`choir pull ...`, nearest known name).
CHOIR_API Result<std::string> resolve_model(std::string_view name);

// Fetches a catalogue name, file:PATH or https://... into the models folder and returns its path.
// Present and whole: returns at once. Written to a temporary file beside it, checked, renamed; a
// broken transfer is resumed where the source can. Errors: kNotFound, kUnavailable (network, disk
// full, folder), kInvalidArgument (sha256 differs: both are named, nothing is kept), kAlreadyExists
// (a file from elsewhere has that name). Two pulls of one name at once: the second waits.
CHOIR_API Result<std::string> pull(const std::string& source, const PullOptions& options = {});

}  // namespace choir

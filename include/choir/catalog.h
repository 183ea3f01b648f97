// Models on disk, and models that can be fetched by name.
//
// Threads: any thread may call. catalog() and models_folder() do not block. local_models() and
// resolve_model() read folders. pull() blocks until the file is there or the transfer has failed.
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
  std::string license;      // shown before the model is fetched
  std::uint64_t bytes = 0;  // size of the finished file
  std::string sha256;
  std::string file;  // file name in the models folder
};

struct LocalModel {
  std::string name;  // the catalogue's name, or the file name without .gguf
  std::string path;
  std::uint64_t bytes = 0;
};

struct PullProgress {
  // "waiting" (another pull of the same model runs), "fetching", "unpacking", "checking", "done".
  std::string step;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  // 0: unknown
};

struct PullOptions {
  // The expected sum. Empty: the sum in the catalogue; file: and https: sources are not checked.
  std::string sha256;
  std::string name;  // file name to store the model under; empty: the name in the source
  std::function<void(const PullProgress&)> progress;  // called on the thread that called pull()
  // Polled during the transfer. When it becomes true, pull() returns kCancelled. Owned by the
  // caller; must live until pull() returns.
  const std::atomic<bool>* cancel = nullptr;
};

// The models that Choir knows how to fetch. The reference is valid until the process ends.
CHOIR_API const std::vector<CatalogEntry>& catalog();

// The folder for models: CHOIR_MODELS, else CHOIR_CACHE/models, else XDG_CACHE_HOME/choir/models,
// else ~/.cache/choir/models. This call does not create it.
CHOIR_API std::string models_folder();

// The GGUF files in the models folder, sorted by name. kUnavailable if the folder cannot be read; a
// folder that does not exist gives an empty list.
CHOIR_API Result<std::vector<LocalModel>> local_models();

// The path of a model. `name` is what a user writes: the path of a file, a name in the models
// folder, or a catalogue name that was fetched. kNotFound says what to do (`choir pull ...`, the
// nearest known name).
CHOIR_API Result<std::string> resolve_model(std::string_view name);

// Fetches a catalogue name, file:PATH or https://... into the models folder and returns the path.
// If the model is there and complete, it returns at once.
//
// The data is written to a temporary file, checked, and then renamed, so an incomplete model never
// has the final name. A broken transfer is resumed if the source can do that. If two pulls of one
// name run at the same time, in any processes, the second one waits for the first.
//
// Errors: kNotFound; kUnavailable (network, disk full, folder); kInvalidArgument (the sha256 sum
// differs: the message has both, and nothing is kept); kAlreadyExists (a file that pull() did not
// write has that name); kCancelled.
CHOIR_API Result<std::string> pull(const std::string& source, const PullOptions& options = {});

}  // namespace choir

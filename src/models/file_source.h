// Copies a model from a path on this machine.
#pragma once

#include <string>

#include "choir/result.h"
#include "models/pull_job.h"

namespace choir {

// Fills job.data_path() with the file's bytes. kNotFound, kInvalidArgument (not a regular file).
Status copy_model(const std::string& path, const PullJob& job);

}  // namespace choir

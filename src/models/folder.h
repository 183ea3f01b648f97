// What of the models folder is a model.
#pragma once

#include <filesystem>

namespace choir {

// A GGUF file that is not hidden, by its name. Pure; any thread.
bool is_model_file(const std::filesystem::path& path);

}  // namespace choir

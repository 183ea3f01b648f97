// Where the tests find model files: the tiny one of this repository, and the real ones where they
// have been fetched.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "choir/catalog.h"

#ifndef CHOIR_TEST_MODELS  // a program that is started by hand is told the folder when it is built
#define CHOIR_TEST_MODELS "models"
#endif

namespace choir {

inline std::string stories() {
  const char* folder = std::getenv("CHOIR_TEST_MODELS");
  return std::string(folder == nullptr ? CHOIR_TEST_MODELS : folder) + "/stories260K.gguf";
}

// Empty when the model is not in the models folder.
inline std::string fetched(const std::string& name) {
  for (const CatalogEntry& entry : catalog()) {
    if (entry.name != name) continue;
    const std::string path = models_folder() + "/" + entry.file;
    return std::filesystem::exists(path) ? path : "";
  }
  return "";
}

inline std::string smollm2() { return fetched("smollm2-135m"); }
inline std::string gemma() { return fetched("gemma3-270m"); }

inline std::vector<std::string> all_models() {
  std::vector<std::string> paths = {stories()};
  for (const std::string& path : {smollm2(), gemma()})
    if (!path.empty()) paths.push_back(path);
  return paths;
}

}  // namespace choir

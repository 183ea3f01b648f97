// The chat templates that lie beside the engine's source, each in a model of its own. For tests
// that are built with CHOIR_VOCABULARIES.
#pragma once

#include <gguf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/llama_model.h"
#include "temp_folder.h"

namespace choir {

inline const std::string kModels = CHOIR_VOCABULARIES;

inline bool have_templates() { return std::filesystem::exists(kModels + "/ggml-vocab-qwen2.gguf"); }

inline std::vector<std::filesystem::path> template_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kModels + "/templates"))
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Qwen's vocabulary with another chat template; null where the template cannot be read.
inline std::shared_ptr<const LlamaModel> with_template(const std::string& source) {
  const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
      gguf_init_from_file((kModels + "/ggml-vocab-qwen2.gguf").c_str(),
                          {.no_alloc = true, .ctx = nullptr}),
      &gguf_free);
  gguf_set_val_str(file.get(), "tokenizer.chat_template", source.c_str());
  const TempFolder folder;
  const std::string path = folder / "vocabulary.gguf";
  EXPECT_TRUE(gguf_write_to_file(file.get(), path.c_str(), /*only_meta=*/true));
  return LlamaModel::open(path, LlamaModel::Load::kVocabulary, "a").value_or(nullptr);
}

}  // namespace choir

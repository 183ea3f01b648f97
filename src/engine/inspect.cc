// choir/model_info.h: a look into a file without its weights.
#include "base/cache_folder.h"
#include "base/caught.h"
#include "choir/machine.h"
#include "choir/model_info.h"
#include "engine/file_check.h"
#include "engine/llama_model.h"

namespace choir {
namespace {

Result<std::shared_ptr<const LlamaModel>> open_vocabulary(const std::string& path) {
  FileCheck check({.check = CheckFiles::kUnseen, .cache_folder = cache_folder(), .probe = {}});
  const EngineConfig small{.context_tokens = 64, .sequences_max = 1, .batch_tokens_max = 32};
  CheckedFile file = CHOIR_TRY(check.check(path, small, read_machine().memory_free()));
  return LlamaModel::open(file.path, LlamaModel::Load::kWithoutWeights, file.fingerprint);
}

}  // namespace

Result<ModelInfo> inspect_model(const std::string& path) {
  return caught([&]() -> Result<ModelInfo> { return CHOIR_TRY(open_vocabulary(path))->info(); });
}

Result<std::vector<TokenPiece>> tokenize_with(const std::string& path, const std::string& text) {
  return caught([&]() -> Result<std::vector<TokenPiece>> {
    const auto model = CHOIR_TRY(open_vocabulary(path));
    std::vector<TokenPiece> pieces;
    for (const TokenId token : CHOIR_TRY(model->tokenize(text, Model::Special::kParse)))
      pieces.push_back({token, std::string(model->piece(token))});
    return pieces;
  });
}

}  // namespace choir

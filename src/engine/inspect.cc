// choir/model_info.h: a look into a file without its weights.
#include <map>
#include <optional>

#include "base/cache_folder.h"
#include "base/caught.h"
#include "base/guarded.h"
#include "choir/machine.h"
#include "choir/model_info.h"
#include "engine/file_check.h"
#include "engine/llama_model.h"

namespace choir {
namespace {

Result<CheckedFile> checked(const std::string& path) {
  FileCheck check({.check = CheckFiles::kUnseen, .cache_folder = cache_folder(), .probe = {}});
  const EngineConfig small{.context_tokens = 64, .sequences_max = 1, .batch_tokens_max = 32};
  return check.check(path, small, read_machine().memory_free());
}

Result<std::shared_ptr<const LlamaModel>> open_vocabulary(const CheckedFile& file) {
  return LlamaModel::open(file.path, LlamaModel::Load::kWithoutWeights, file.fingerprint);
}

// What files said when they were opened, by identity: opening one takes tenths of a second, most of
// them for its vocabulary, and a few kilobytes say what it is.
constexpr std::size_t kInfosMax = 64;
Guarded<std::map<std::string, ModelInfo>>& infos() {
  static auto* const shared =
      new Guarded<std::map<std::string, ModelInfo>>;  // outlives all statics
  return *shared;
}

Result<ModelInfo> info_of(const CheckedFile& file) {
  auto known = infos().with([&](const auto& all) {
    const auto found = all.find(file.identity);
    return found == all.end() ? std::optional<ModelInfo>() : found->second;
  });
  if (known) {
    known->path = file.path;  // another name of the same file
    return std::move(*known);
  }
  ModelInfo info = CHOIR_TRY(open_vocabulary(file))->info();
  infos().with([&](auto& all) {
    if (all.size() >= kInfosMax) all.clear();
    all.insert_or_assign(file.identity, info);
  });
  return info;
}

}  // namespace

Result<ModelInfo> inspect_model(const std::string& path) {
  return caught([&]() -> Result<ModelInfo> { return info_of(CHOIR_TRY(checked(path))); });
}

Result<std::vector<TokenPiece>> tokenize_with(const std::string& path, const std::string& text) {
  return caught([&]() -> Result<std::vector<TokenPiece>> {
    const CheckedFile file = CHOIR_TRY(checked(path));
    const auto model = CHOIR_TRY(open_vocabulary(file));
    std::vector<TokenPiece> pieces;
    for (const TokenId token : CHOIR_TRY(model->tokenize(text, Model::Special::kParse)))
      pieces.push_back({token, std::string(model->piece(token))});
    return pieces;
  });
}

}  // namespace choir

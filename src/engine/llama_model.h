// One GGUF file in memory: weights, vocabulary, chat template. Immutable, shared, thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "engine/chat_template.h"
#include "engine/control_texts.h"
#include "engine/engine.h"
#include "engine/llama_handles.h"

namespace choir {

class LlamaModel final : public Model {
 public:
  // kVocabulary: the tokenizer alone, also of a file that has no more; info() lacks the shape.
  enum class Load : std::uint8_t { kWeights, kWithoutWeights, kVocabulary };

  // kNotFound, kEngineFailed with the engine's reason. The file has been checked before
  // (engine/file_check.h): a damaged one may abort the process. `fingerprint` of its bytes.
  static Result<std::shared_ptr<const LlamaModel>> open(const std::string& path, Load load,
                                                        std::string fingerprint,
                                                        const LoadProgress& progress = {});
  ~LlamaModel() override;

  const ModelInfo& info() const override { return info_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const override;
  std::string_view piece(TokenId token) const override;
  std::span<const TokenId> end_tokens() const override { return end_tokens_; }
  std::vector<std::size_t> control_cuts(std::string_view text) const override {
    return control_texts_.cuts(text);
  }
  Result<Rendered> render(std::span<const Message> messages, Contents contents) const override;

  llama_model* handle() const { return model_.get(); }

 private:
  LlamaModel(LlamaModelHandle model, ModelInfo info, std::string fingerprint);
  void collect_pieces();
  // On the stack of this thread.
  Result<std::vector<TokenId>> tokenize_here(std::string_view text, Special special) const;
  Result<std::vector<TokenId>> tokenize_inside(std::string_view text) const;
  Result<std::vector<TokenId>> engine_tokens(std::string_view text, bool begin, bool parse) const;

  LlamaModelHandle model_;
  const llama_vocab* vocab_;
  ModelInfo info_;
  std::string fingerprint_;
  // Every piece, one after the other: looking one up must not cost an allocation a token.
  std::string pieces_;
  std::vector<std::uint32_t> piece_ends_;
  std::vector<TokenId> end_tokens_;
  ControlTexts control_texts_;
  Result<Rendered> render_as_text(const ChatTemplate& chat,
                                  std::span<const Message> messages) const;
  Guarded<std::unique_ptr<ChatTemplate>> template_;  // null: the file has none of its own
};

// Parameters with which we load, for weights and for measuring alike, so that both give the same
// bytes.
llama_model_params model_params();

}  // namespace choir

// The fake model, said to be an encoder.
#pragma once

#include "sim/fake_engine.h"

namespace choir {

class FakeEncoder final : public Model {
 public:
  FakeEncoder() {
    info_ = fake_.info();
    info_.generates = false;
  }
  const ModelInfo& info() const override { return info_; }
  const std::string& fingerprint() const override { return fake_.fingerprint(); }
  Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const override {
    return fake_.tokenize(text, special);
  }
  std::string_view piece(TokenId token) const override { return fake_.piece(token); }
  std::span<const TokenId> end_tokens() const override { return fake_.end_tokens(); }
  std::vector<std::size_t> control_cuts(std::string_view text) const override {
    return fake_.control_cuts(text);
  }
  Result<Rendered> render(std::span<const Message> messages, Contents contents) const override {
    return fake_.render(messages, contents);
  }

 private:
  sim::FakeModel fake_;
  ModelInfo info_;
};

}  // namespace choir

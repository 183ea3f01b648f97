// What a model file says about itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/result.h"

namespace choir {

struct ModelInfo {
  std::string path;
  std::string name;          // general.name, or the file's
  std::string architecture;  // "llama", "gemma3", "bert"
  std::string quantization;  // "Q4_1", "Q4_K - Medium"
  std::string license;       // general.license; may be empty
  std::uint64_t file_bytes = 0;
  std::uint64_t weight_bytes = 0;
  std::uint64_t parameters = 0;
  std::int32_t layers = 0;
  std::int32_t embedding_size = 0;
  std::int32_t heads = 0;
  std::int32_t kv_heads = 0;
  std::int32_t vocab_tokens = 0;
  std::int32_t context_tokens_trained = 0;
  std::int32_t sliding_window_tokens = 0;     // 0: full attention in every layer
  std::uint64_t kv_bytes_per_token = 0;       // of full-attention layers, as f16
  std::uint64_t kv_bytes_per_token_q8_0 = 0;  // 0: its heads do not come in blocks of 32
  std::string chat_template;                  // empty: the file has none, chats go in as raw text
  bool generates = true;                      // a decoder; an encoder embeds only
  // What it is, where Choir can do neither: "a diffusion model (llada)". Empty: it runs.
  std::string not_run;
  // What our kernels leave to the engine's own, "Q2_K weights, ..."; empty: nothing. Only where it
  // is empty do results never depend on what runs beside them.
  std::string not_covered;
  bool operator==(const ModelInfo&) const = default;
};

// Opens a GGUF file without its weights. kNotFound, or kEngineFailed with what is wrong with it;
// a file not seen before is tried in a child process first (see NodeConfig::check_files).
CHOIR_API Result<ModelInfo> inspect_model(const std::string& path);

struct TokenPiece {
  TokenId token = 0;
  std::string piece;  // bytes; may be part of a UTF-8 character
};

// The tokens of `text` in the file's vocabulary, as they would go into the model.
CHOIR_API Result<std::vector<TokenPiece>> tokenize_with(const std::string& path,
                                                        const std::string& text);

}  // namespace choir

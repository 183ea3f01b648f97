// What a model file says about itself.
//
// Threads: any thread may call. Both calls block: they read the file, and a file that was not seen
// before is tried in a child process first, which loads it and computes (seconds).
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
  std::string name;          // general.name of the file, or the file's name
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
  std::uint64_t kv_bytes_per_token = 0;       // KV cache, full-attention layers, f16
  std::uint64_t kv_bytes_per_token_q8_0 = 0;  // 0: head sizes are no multiples of 32
  std::string chat_template;                  // empty: none, so messages become raw text
  bool generates = true;                      // false: an encoder, which only embeds
  // What the model is, if Choir cannot run it: "a diffusion model (llada)". Empty: Choir runs it.
  std::string not_run;
  // The parts that the engine's own kernels compute instead of ours: "Q2_K weights, ...". Empty:
  // none. If it is not empty, results may depend in the last bits on what else is in the batch.
  std::string not_covered;
  bool operator==(const ModelInfo&) const = default;
};

// Opens a GGUF file without loading its weights. Errors: kNotFound; kEngineFailed with what is
// wrong with the file. For the trial of unknown files see NodeConfig::check_files.
CHOIR_API Result<ModelInfo> inspect_model(const std::string& path);

struct TokenPiece {
  TokenId token = 0;
  std::string piece;  // the token's bytes; may be a part of a UTF-8 character
};

// The tokens of `text` in the file's vocabulary, as a raw prompt would go into the model: control
// tokens in the text are parsed. Errors as inspect_model().
CHOIR_API Result<std::vector<TokenPiece>> tokenize_with(const std::string& path,
                                                        const std::string& text);

}  // namespace choir

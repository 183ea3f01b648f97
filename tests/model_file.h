// Small model files with random weights, for what no real file is at hand: types that our kernels
// leave to the engine, scale tensors, experts, split files.
#pragma once

#include <ggml.h>

#include <string>
#include <vector>

namespace choir {

struct ModelFile {
  std::string architecture = "llama";  // "llama", "bitnet"; whatever has the same tensors as these
  ggml_type type = GGML_TYPE_Q8_0;     // of the matrices
  bool scales = false;  // a `.scale` for each product, of one number or one an expert
  float scale = 1.0F;   // each of those numbers
  int experts = 0;
  int parts = 1;
  unsigned seed = 1;
};

// Writes it into `folder` as `name`.gguf, or as `name`-00001-of-0000N.gguf and so on. Two layers of
// 256 columns, the vocabulary of stories260K. Returns the paths of the parts.
std::vector<std::string> write_model(const std::string& folder, const std::string& name,
                                     const ModelFile& file);

}  // namespace choir

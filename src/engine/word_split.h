// How byte-pair tokenizers cut a text into words, as the engine does it, but with its regular
// expressions compiled once and not for each part of each prompt.
//
// The linker puts split_words in place of the engine's function (--wrap in src/CMakeLists.txt).
// Expressions are constants of a tokenizer, so keeping them reveals nothing of what clients have
// sent.
#pragma once

#include <string>
#include <vector>

// The name of the engine's function, as in src/CMakeLists.txt.
#define CHOIR_ENGINE_SPLIT                                                          \
  "_Z19unicode_regex_splitRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERK" \
  "St6vectorIS4_SaIS4_EEb"

namespace choir {

// Words of `text`, whose expressions are applied one after the other; `byte_encode` writes each
// byte as a character that can be printed. Any thread. Throws what the engine's function throws.
std::vector<std::string> split_words(const std::string& text,
                                     const std::vector<std::string>& expressions,
                                     bool byte_encode) asm("__wrap_" CHOIR_ENGINE_SPLIT);
// The same by the engine's own function, for comparison and for what it does without std::regex.
std::vector<std::string> split_words_by_engine(const std::string& text,
                                               const std::vector<std::string>& expressions,
                                               bool byte_encode) asm("__real_" CHOIR_ENGINE_SPLIT);

// The lists of expressions that this process has split by: one for each kind of tokenizer.
std::vector<std::vector<std::string>> split_kinds();

}  // namespace choir

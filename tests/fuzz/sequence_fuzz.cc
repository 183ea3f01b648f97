// core/sequence: whatever is taken is what serialize() writes.
#include "core/sequence.h"

#include "tests/fuzz/fuzz.h"

namespace {

void read(std::string_view bytes) {
  const auto sequence = choir::deserialize(bytes);
  if (!sequence) return;
  choir::fuzz::expect(choir::serialize(*sequence) == bytes, "a sequence has one form in bytes");
  choir::fuzz::expect(!sequence->tokens.empty() && sequence->prompt_tokens >= 1 &&
                          sequence->prompt_tokens <= sequence->known_tokens(),
                      "a sequence has a prompt");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  read(bytes);
  // As a payload with the right frame around it.
  read(choir::fuzz::sealed(std::string("CHSQ\3\0\0\0", 8).append(bytes)));
  return 0;
}

// core/frozen_executor: what comes from another node. Whatever is taken is what serialize() writes.
#include "core/frozen_executor.h"

#include "tests/fuzz/fuzz.h"

namespace {

void read(std::string_view bytes) {
  if (const auto frozen = choir::deserialize_frozen(bytes)) {
    choir::fuzz::expect(choir::serialize(*frozen) == bytes, "it has one form in bytes");
    for (const auto& s : frozen->sequences)
      choir::fuzz::expect(!s.value.tokens.empty(), "a sequence has its tokens");
  }
  if (const auto move = choir::deserialize_move(bytes))
    choir::fuzz::expect(choir::serialize(*move) == bytes, "a move has one form in bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  read(bytes);
  // As parts with the right frame around them.
  read(choir::fuzz::sealed(std::string("CHFZ\2\0\0\0", 8).append(bytes)));
  read(choir::fuzz::sealed(std::string("CHMV\2\0\0\0", 8).append(bytes)));
  return 0;
}

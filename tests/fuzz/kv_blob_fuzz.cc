// engine/kv_blob: whatever is taken is what wrap_kv() writes.
#include "engine/kv_blob.h"

#include "tests/fuzz/fuzz.h"

namespace {

void read(std::string_view bytes) {
  const auto blob = choir::unwrap_kv(bytes);
  if (!blob) return;
  choir::fuzz::expect(blob->header.tokens >= 0, "tokens are counted");
  choir::fuzz::expect(choir::wrap_kv(blob->header, blob->state) == bytes,
                      "a KV state has one form in bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  read(bytes);
  read(choir::fuzz::sealed(std::string("CHKV\1\0\0\0", 8).append(bytes)));
  return 0;
}

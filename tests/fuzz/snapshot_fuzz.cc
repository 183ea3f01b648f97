// context/snapshot: no size in a file is trusted, and what is read was there.
#include "context/snapshot.h"

#include "tests/fuzz/fuzz.h"

namespace {

void read(const std::string& bytes) {
  static const choir::fuzz::ScratchFolder folder;
  const auto snapshot = choir::read_snapshot(folder.write("a.kv", bytes));
  if (!snapshot) return;
  const std::size_t held = snapshot->model_fingerprint.size() + snapshot->kv_type.size() +
                           snapshot->reuse_scope.size() +
                           snapshot->tokens.size() * sizeof(choir::TokenId) + snapshot->kv.size();
  choir::fuzz::expect(held <= bytes.size(), "a snapshot is no larger than its file");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  read(std::string(bytes));
  // The sizes of the header and what follows it, with the right marks and checksums around them.
  constexpr std::size_t kSizes = 24;
  const std::string header =
      std::string("CHSN\1\0\0\0", 8).append(bytes.substr(0, kSizes)).append(kSizes, '\0');
  read(choir::fuzz::sealed(choir::fuzz::sealed(header.substr(0, 8 + kSizes))
                               .append(bytes.substr(std::min(size, kSizes)))));
  return 0;
}

#include "models/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/fd.h"

namespace choir {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    CHOIR_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
                "libcrypto has SHA-256");
  }
  void add(const void* data, std::size_t bytes) {
    CHOIR_CHECK(EVP_DigestUpdate(context_.get(), data, bytes) == 1, "hashing cannot fail");
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int bytes = 0;
    CHOIR_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &bytes) == 1,
                "hashing cannot fail");
    std::string out;
    for (unsigned int i = 0; i < bytes; ++i) {
      out += "0123456789abcdef"[digest.at(i) >> 4];
      out += "0123456789abcdef"[digest.at(i) & 15];
    }
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

auto unreadable(const std::string& path, int error) {
  return fail(Code::kUnavailable,
              "cannot read '" + path + "': " + std::generic_category().message(error));
}

}  // namespace

Result<std::string> sha256_of_file(const std::string& path, const HashProgress& progress) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return unreadable(path, errno);
  std::vector<char> buffer(std::size_t{1} << 20);
  Sha256 hash;
  for (std::uint64_t done = 0;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(path, errno);
    if (got == 0) return hash.hex();
    hash.add(buffer.data(), static_cast<std::size_t>(got));
    done += static_cast<std::uint64_t>(got);
    if (progress && !progress(done))
      return fail(Code::kCancelled, "stopped while checking '" + path + "'");
  }
}

std::string sha256_of_text(std::string_view text) {
  Sha256 hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace choir

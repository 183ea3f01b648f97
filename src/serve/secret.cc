#include "serve/secret.h"

#include <openssl/rand.h>

#include <array>

namespace choir::serve {
namespace {

constexpr std::size_t kRandomBytes = 32;

// Base64 for addresses, without padding.
std::string text_of(const std::array<unsigned char, kRandomBytes>& bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const unsigned char byte : bytes) {
    bits = (bits << 8U) | byte;
    count += 8;
    while (count >= 6) {
      count -= 6;
      out += kDigits[(bits >> static_cast<unsigned>(count)) & 63U];
    }
  }
  return out + kDigits[(bits << static_cast<unsigned>(6 - count)) & 63U];
}

}  // namespace

Result<std::string> random_secret(std::string_view prefix) {
  std::array<unsigned char, kRandomBytes> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
    return fail(Code::kUnavailable, "the system gives no random bytes");
  return std::string(prefix) + text_of(random);
}

}  // namespace choir::serve

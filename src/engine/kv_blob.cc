#include "engine/kv_blob.h"

#include <xxhash.h>

#include <cstring>

namespace choir {
namespace {

constexpr std::string_view kBlobMagic = "CHKV";
constexpr std::uint32_t kBlobVersion = 1;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

// Takes from the front of `rest`; false when there is not enough.
template <class T>
bool take(std::string_view& rest, T& value) {
  if (rest.size() < sizeof(value)) return false;
  std::memcpy(&value, rest.data(), sizeof(value));
  rest.remove_prefix(sizeof(value));
  return true;
}

bool take_text(std::string_view& rest, std::string& text) {
  std::uint32_t size = 0;
  if (!take(rest, size) || rest.size() < size) return false;
  text = rest.substr(0, size);
  rest.remove_prefix(size);
  return true;
}

}  // namespace

std::string wrap_kv(const KvBlobHeader& header, std::string_view state) {
  std::string out;
  out.reserve(state.size() + 128);
  out.append(kBlobMagic);
  put(out, kBlobVersion);
  put_text(out, header.model_fingerprint);
  put_text(out, header.kv_type);
  put(out, header.tokens);
  out.append(state);
  put(out, static_cast<std::uint64_t>(XXH3_64bits(out.data(), out.size())));
  return out;
}

Result<KvBlob> unwrap_kv(std::string_view bytes) {
  const auto bad = [](const char* why) {
    return fail(Code::kInvalidArgument, std::string("KV state is ") + why);
  };
  if (bytes.size() < kBlobMagic.size() + sizeof(kBlobVersion) + sizeof(std::uint64_t) ||
      !bytes.starts_with(kBlobMagic))
    return bad("not one of ours");
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, bytes.data() + body.size(), sizeof(checksum));
  if (checksum != XXH3_64bits(body.data(), body.size())) return bad("torn or altered");

  KvBlob blob;
  std::string_view rest = body.substr(kBlobMagic.size());
  std::uint32_t version = 0;
  if (!take(rest, version) || version != kBlobVersion) return bad("of another version");
  if (!take_text(rest, blob.header.model_fingerprint) || !take_text(rest, blob.header.kv_type) ||
      !take(rest, blob.header.tokens) || blob.header.tokens < 0)
    return bad("without a whole header");
  blob.state = rest;
  return blob;
}

}  // namespace choir

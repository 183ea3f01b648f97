// Bytes in parts: a magic and a version, parts with their lengths, XXH3 of all before it; integers
// little endian. A part is a map of fields (CBOR), or bytes as they are. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/cbor.h"
#include "core/cbor_fields.h"

namespace choir {

// A message of a prompt is three items.
inline constexpr CborLimits kPartLimits{.depth_max = 8, .items_max = 4 * kMessagesMax};

class Packer {
 public:
  Packer(std::string_view magic, std::uint32_t version) : bytes_(magic) {
    cbor_fields::append_le(bytes_, version);
  }
  void raw(std::string_view part) {
    cbor_fields::append_le(bytes_, static_cast<std::uint64_t>(part.size()));
    bytes_ += part;
  }
  template <class Fields>
  void cbor(Fields&& all) {
    cbor_fields::Writer writer;
    std::forward<Fields>(all)(writer);
    std::string part;
    cbor_fields::Json::to_cbor(writer.json, part);
    raw(part);
  }
  void count(std::size_t many) { cbor_fields::append_le(bytes_, static_cast<std::uint64_t>(many)); }
  std::string sealed() && {
    cbor_fields::append_le(bytes_, cbor_fields::checksum(bytes_));
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
};

// What was wrong first is kept, and everything after it reads nothing.
class Unpacker {
 public:
  Unpacker(std::string_view bytes, std::string_view magic, std::uint32_t version)
      : rest_(opened(bytes, magic, version)) {}
  std::string_view raw() {
    const std::uint64_t size = number();
    if (size > rest_.size()) {
      wrong("a part is longer than what is there");
      return {};
    }
    const std::string_view part = rest_.substr(0, size);
    rest_.remove_prefix(part.size());
    return part;
  }
  template <class Fields>
  void cbor(Fields&& all) {
    const std::string_view part = raw();
    if (!ok()) return;
    if (const Status status = check_cbor(part, kPartLimits); !status)
      return wrong(status.error().message);
    const auto json =
        cbor_fields::Json::from_cbor(part, /*strict=*/true, /*allow_exceptions=*/false);
    if (!json.is_object()) return wrong("a part is not a map");
    cbor_fields::Reader reader{.json = json};
    std::forward<Fields>(all)(reader);
    if (!reader.wrong.empty())
      wrong("field " + std::string(reader.wrong) + " is missing or of a wrong kind");
  }
  // Each takes some bytes, so a count that is not true ends soon and allocates nothing.
  std::uint64_t count() { return number(); }
  void wrong(const std::string& what) {
    if (ok()) what_ = what;
    rest_ = {};
  }
  bool ok() const { return what_.empty(); }
  const std::string& what() const { return what_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::uint64_t number() {
    if (!ok() || rest_.size() < sizeof(std::uint64_t)) {
      wrong("cut off inside");
      return 0;
    }
    const auto value = cbor_fields::read_le<std::uint64_t>(rest_.data());
    rest_.remove_prefix(sizeof value);
    return value;
  }

  // What is inside of the envelope.
  std::string_view opened(std::string_view bytes, std::string_view magic, std::uint32_t version) {
    const std::size_t header = magic.size() + sizeof version;
    std::string found;
    if (bytes.substr(0, magic.size()) != magic) {
      found = "of another kind";
    } else if (bytes.size() < header + sizeof(XXH64_hash_t)) {
      found = "cut off";
    } else if (const auto its = cbor_fields::read_le<std::uint32_t>(bytes.data() + magic.size());
               its != version) {
      found =
          "format version " + std::to_string(its) + ", this build reads " + std::to_string(version);
    } else {
      const std::string_view covered = bytes.substr(0, bytes.size() - sizeof(XXH64_hash_t));
      if (cbor_fields::read_le<std::uint64_t>(bytes.data() + covered.size()) ==
          cbor_fields::checksum(covered))
        return covered.substr(header);
      found = "checksum does not match: torn or altered";
    }
    what_ = std::move(found);
    return {};
  }

  std::string what_;
  std::string_view rest_;
};

}  // namespace choir

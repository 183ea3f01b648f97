// The container around an engine's KV state of one sequence: what it belongs to, and a checksum.
//
// The engine's own bytes have neither; fed with a stranger's it would compute nonsense or abort.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir {

struct KvBlobHeader {
  std::string model_fingerprint;
  std::string kv_type;      // "f16", "q8_0"
  std::int32_t tokens = 0;  // with a cell
  bool operator==(const KvBlobHeader&) const = default;
};

// Bytes: "CHKV", format version, header, state, XXH3 of all before it.
std::string wrap_kv(const KvBlobHeader& header, std::string_view state);

struct KvBlob {
  KvBlobHeader header;
  std::string_view state;  // into the bytes given
};

// kInvalidArgument: torn, altered, or not a KV state. Checks everything before it trusts a size.
Result<KvBlob> unwrap_kv(std::string_view bytes);

}  // namespace choir

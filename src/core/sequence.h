// A sequence: one generation, as one versioned, serialisable value.
//
// Parking, suspend, eviction, scale, restart and migration are all this value plus, when there is
// room, a blob of KV state. Whoever has the value can go on with the same tokens: sampling is a
// function of (seed, position), and the text carry is inside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/ids.h"
#include "choir/request.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

// What the text assembly holds back between two tokens (engine/text.h).
struct TextCarry {
  std::string bytes;    // an unfinished UTF-8 character
  std::string pending;  // could still be the beginning of a stop string
  bool operator==(const TextCarry&) const = default;
};

struct Sequence {
  SeqId id;
  RequestId request;
  std::string model_fingerprint;   // hex; the engine's Model::fingerprint()
  std::vector<TokenId> tokens;     // known: prompt, then what was sampled; at least 1
  std::int32_t prompt_tokens = 0;  // 1 .. tokens.size()
  std::int32_t max_tokens = 0;     // to generate, >= output_tokens()
  Sampling sampling;
  std::uint32_t stream_index = 0;  // which of a request's generations; mixed into the seed
  std::vector<std::string> stop;   // as in Request
  bool ignore_eos = false;
  Priority priority = Priority::kNormal;
  std::string tenant;
  double tenant_weight = 1;
  std::string reuse_scope;  // of its KV state; the request's, or else its tenant
  TextCarry carry;
  std::uint64_t next_event = 0;       // number of the next stream event
  std::int64_t deadline_left_ns = 0;  // 0: none; counted down from when the value was made
  bool operator==(const Sequence&) const = default;

  std::int32_t known_tokens() const { return static_cast<std::int32_t>(tokens.size()); }
  std::int32_t output_tokens() const { return known_tokens() - prompt_tokens; }
};

// Bytes: "CHSQ", format version, payload (CBOR, RFC 8949), XXH3 of all before it; integers little
// endian. The same value gives the same bytes. Never fails.
std::string serialize(const Sequence& sequence);

// kInvalidArgument with what is wrong: not a sequence, torn, or of another version. Any bytes may
// come in; nothing of them is trusted: sizes are checked against what is there before anything is
// allocated, ranges as validate() does, and bytes that serialize() would not write are refused.
Result<Sequence> deserialize(std::string_view bytes);

}  // namespace choir

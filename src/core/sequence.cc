#include "core/sequence.h"

#include <xxhash.h>

#include <array>
#include <cmath>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "core/cbor.h"

namespace choir {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMagic = "CHSQ";
constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kHeaderBytes = kMagic.size() + sizeof kVersion;
constexpr std::size_t kChecksumBytes = sizeof(XXH64_hash_t);
constexpr std::size_t kTokensMax = 2 * kPromptTokensMax;  // as much output as prompt
constexpr std::size_t kBytesMax = kTokensMax * sizeof(TokenId) + (1U << 20U);  // and the rest
constexpr std::size_t kCarryBytesMax = 65536;  // a token's text, and what stop strings hold back

// ---- integers as bytes, whatever the machine's order

template <class Integer>
void append_le(std::string& bytes, Integer value) {
  const auto bits = static_cast<std::make_unsigned_t<Integer>>(value);
  for (std::size_t i = 0; i < sizeof bits; ++i)
    bytes.push_back(static_cast<char>(static_cast<std::uint8_t>(bits >> (8 * i))));
}

template <class Integer, class Byte>
Integer read_le(const Byte* bytes) {
  using Bits = std::make_unsigned_t<Integer>;
  Bits bits = 0;
  for (std::size_t i = 0; i < sizeof bits; ++i)
    bits |= static_cast<Bits>(Bits{static_cast<std::uint8_t>(bytes[i])} << (8 * i));
  return static_cast<Integer>(bits);
}

XXH64_hash_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

// ---- the one list of fields; a change of it needs a new kVersion

template <class S, class Field>
void fields(S& s, Field&& field) {
  field("id", s.id.value);
  field("request", s.request.value);
  field("model_fingerprint", s.model_fingerprint);
  field("tokens", s.tokens);
  field("prompt_tokens", s.prompt_tokens);
  field("max_tokens", s.max_tokens);
  field("temperature", s.sampling.temperature);
  field("top_k", s.sampling.top_k);
  field("top_p", s.sampling.top_p);
  field("min_p", s.sampling.min_p);
  field("repeat_penalty", s.sampling.repeat_penalty);
  field("frequency_penalty", s.sampling.frequency_penalty);
  field("presence_penalty", s.sampling.presence_penalty);
  field("repeat_last_n", s.sampling.repeat_last_n);
  field("seed", s.sampling.seed);
  field("bias", s.sampling.bias);
  field("stream_index", s.stream_index);
  field("stop", s.stop);
  field("ignore_eos", s.ignore_eos);
  field("priority", s.priority);
  field("tenant", s.tenant);
  field("tenant_weight", s.tenant_weight);
  field("reuse_scope", s.reuse_scope);
  field("carry_bytes", s.carry.bytes);
  field("carry_pending", s.carry.pending);
  field("next_event", s.next_event);
  field("deadline_left_ns", s.deadline_left_ns);
}

// ---- value to JSON. Strings go as CBOR bytes: the text carry need not be UTF-8.

template <class T>
requires std::is_arithmetic_v<T> Json to_json(T value) { return value; }
Json to_json(Priority value) { return static_cast<std::uint8_t>(value); }
Json to_json(const std::string& value) { return Json::binary({value.begin(), value.end()}); }

Json to_json(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push_back(to_json(value));
  return list;
}

Json to_json(const std::vector<LogitBias>& values) {
  Json list = Json::array();
  for (const LogitBias& value : values) list.push_back(Json::array({value.token, value.bias}));
  return list;
}

// Packed, since a number of its own in the tree takes 16 bytes and a conversation has many.
Json to_json(const std::vector<TokenId>& tokens) {
  std::string bytes;
  bytes.reserve(tokens.size() * sizeof(TokenId));
  for (const TokenId token : tokens) append_le(bytes, token);
  return to_json(bytes);
}

// ---- JSON to value; false when it is of another kind or out of the type's range

template <class T>
requires std::is_integral_v<T>
bool from_json(const Json& json, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) return false;
    value = json.get<bool>();
    return true;
  } else if (json.is_number_unsigned()) {
    const auto number = json.get<std::uint64_t>();
    value = static_cast<T>(number);
    return std::in_range<T>(number);
  } else {
    if (!json.is_number_integer()) return false;
    const auto number = json.get<std::int64_t>();
    value = static_cast<T>(number);
    return std::in_range<T>(number);
  }
}

bool from_json(const Json& json, double& value) {
  if (!json.is_number_float()) return false;
  value = json.get<double>();
  return true;
}

bool from_json(const Json& json, float& value) {
  if (!json.is_number_float()) return false;
  const auto number = json.get<double>();
  if (std::isfinite(number) && std::abs(number) > std::numeric_limits<float>::max()) return false;
  value = static_cast<float>(number);
  return true;
}

bool from_json(const Json& json, Priority& value) {
  std::uint8_t number = 0;
  if (!from_json(json, number) || number >= kPriorityNames.size()) return false;
  value = static_cast<Priority>(number);
  return true;
}

bool from_json(const Json& json, std::string& value) {
  if (!json.is_binary()) return false;
  const Json::binary_t& bytes = json.get_binary();
  value.assign(bytes.begin(), bytes.end());
  return true;
}

bool from_json(const Json& json, LogitBias& value) {
  return json.is_array() && json.size() == 2 && from_json(json[0], value.token) &&
         from_json(json[1], value.bias);
}

template <class T>
bool from_json(const Json& json, std::vector<T>& values) {
  if (!json.is_array()) return false;
  values.resize(json.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!from_json(json[i], values[i])) return false;
  return true;
}

bool from_json(const Json& json, std::vector<TokenId>& tokens) {
  if (!json.is_binary() || json.get_binary().size() % sizeof(TokenId) != 0) return false;
  const Json::binary_t& bytes = json.get_binary();
  tokens.resize(bytes.size() / sizeof(TokenId));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = read_le<TokenId>(bytes.data() + i * sizeof(TokenId));
  return true;
}

// ---- reading, from the outside in

tl::unexpected<Error> bad(const std::string& why) {
  return fail(Code::kInvalidArgument, "sequence: " + why);
}

// The payload, once magic, version and checksum are right.
Result<std::string_view> open_envelope(std::string_view bytes) {
  if (bytes.size() > kBytesMax)
    return bad(std::to_string(bytes.size()) + " bytes, at most " + std::to_string(kBytesMax));
  if (bytes.substr(0, kMagic.size()) != kMagic) return bad("does not begin with CHSQ");
  if (bytes.size() < kHeaderBytes + kChecksumBytes)
    return bad("cut off after " + std::to_string(bytes.size()) + " bytes");
  const auto version = read_le<std::uint32_t>(bytes.data() + kMagic.size());
  if (version != kVersion)
    return bad("format version " + std::to_string(version) + ", this build reads " +
               std::to_string(kVersion));
  const std::string_view covered = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (read_le<std::uint64_t>(bytes.data() + covered.size()) != checksum(covered))
    return bad("checksum does not match: torn or altered");
  return covered.substr(kHeaderBytes);
}

Result<Sequence> parse(std::string_view payload) {
  if (Status status = check_cbor(payload, {}); !status)
    return tl::unexpected(std::move(status).error().in("sequence"));
  const Json json = Json::from_cbor(payload, /*strict=*/true, /*allow_exceptions=*/false);
  if (!json.is_object()) return bad("the payload is not a map");

  Sequence sequence;
  std::string_view wrong;
  fields(sequence, [&](const char* name, auto& value) {
    const auto found = json.find(name);
    if (found == json.end() || !from_json(*found, value)) wrong = name;
  });
  if (!wrong.empty()) return bad("field " + std::string(wrong) + " is missing or of a wrong kind");
  return sequence;
}

Status check_values(const Sequence& s) {
  if (s.tokens.empty() || s.tokens.size() > kTokensMax)
    return bad("has " + std::to_string(s.tokens.size()) + " tokens, allowed 1 .. " +
               std::to_string(kTokensMax));
  for (const TokenId token : s.tokens)
    if (token < 0) return bad("token " + std::to_string(token) + " is negative");
  if (s.prompt_tokens < 1 || s.prompt_tokens > s.known_tokens())
    return bad("prompt_tokens is " + std::to_string(s.prompt_tokens) + ", allowed 1 .. " +
               std::to_string(s.known_tokens()));
  if (s.max_tokens < s.output_tokens())
    return bad("max_tokens is " + std::to_string(s.max_tokens) + ", fewer than its " +
               std::to_string(s.output_tokens()) + " output tokens");
  if (s.deadline_left_ns < 0) return bad("deadline_left_ns is negative");
  if (s.stop.size() > kStopStringsMax) return bad("has too many stop strings");
  for (const std::string& stop : s.stop)
    if (stop.empty() || stop.size() > kStopBytesMax)
      return bad("has an empty or too long stop string");
  if (s.tenant.size() > kNameBytesMax || s.reuse_scope.size() > kNameBytesMax ||
      s.model_fingerprint.size() > kNameBytesMax)
    return bad("tenant, reuse_scope or model_fingerprint is too long");
  if (!(s.tenant_weight >= kTenantWeightMin && s.tenant_weight <= kTenantWeightMax))
    return bad("tenant_weight is out of range");
  if (s.carry.bytes.size() > kCarryBytesMax || s.carry.pending.size() > kCarryBytesMax)
    return bad("text carry is too long");
  if (Status status = validate(s.sampling); !status)
    return tl::unexpected(std::move(status).error().in("sequence: sampling"));
  return {};
}

}  // namespace

std::string serialize(const Sequence& sequence) {
  Json json = Json::object();
  fields(sequence, [&](const char* name, const auto& value) { json[name] = to_json(value); });
  std::string bytes(kMagic);
  append_le(bytes, kVersion);
  Json::to_cbor(json, bytes);
  append_le(bytes, checksum(bytes));
  return bytes;
}

Result<Sequence> deserialize(std::string_view bytes) {
  try {
    const std::string_view payload = CHOIR_TRY(open_envelope(bytes));
    Sequence sequence = CHOIR_TRY(parse(payload));
    CHOIR_CHECK_OK(check_values(sequence));
    // Doubled keys, unknown keys, numbers wider than needed: nothing of ours writes that.
    if (serialize(sequence) != bytes) return bad("not in its canonical form");
    return sequence;
  } catch (const std::exception& e) {  // nlohmann-json, and std::bad_alloc
    return bad(std::string("not readable: ") + e.what());
  }
}

}  // namespace choir

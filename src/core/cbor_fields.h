// Fields of values as CBOR (RFC 8949) and back: what the formats of core/sequence and
// core/frozen_executor have in common.
//
// A field is read only from the kind of item that it is written as, and only if it is in the range
// of its type. Whether a value makes sense is the caller's to check. Pure; any thread.
#pragma once

#include <xxhash.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "choir/config.h"
#include "choir/request.h"
#include "choir/units.h"

namespace choir::cbor_fields {

using Json = nlohmann::json;

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

inline XXH64_hash_t checksum(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

// How many values an enum has: 0 .. count - 1.
template <class Enum>
inline constexpr std::size_t kEnumValues = 0;
template <>
inline constexpr std::size_t kEnumValues<Priority> = kPriorityNames.size();
template <>
inline constexpr std::size_t kEnumValues<KvType> = kKvTypeNames.size();
template <>
inline constexpr std::size_t kEnumValues<Batching> = 4;

// ---- value to JSON. Strings go as CBOR bytes: a text carry need not be UTF-8.

template <class T>
requires std::is_arithmetic_v<T> Json to_json(T value) { return value; }
template <class T>
requires std::is_enum_v<T> Json to_json(T value) {
  return static_cast<std::underlying_type_t<T>>(value);
}
inline Json to_json(const std::string& value) { return Json::binary({value.begin(), value.end()}); }
inline Json to_json(std::chrono::milliseconds value) { return value.count(); }

inline Json to_json(const std::optional<Priority>& value) {
  return value ? to_json(*value) : Json();
}

inline Json to_json(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push_back(to_json(value));
  return list;
}

inline Json to_json(const std::vector<LogitBias>& values) {
  Json list = Json::array();
  for (const LogitBias& value : values) list.push_back(Json::array({value.token, value.bias}));
  return list;
}

inline Json to_json(const std::vector<Message>& values) {
  Json list = Json::array();
  for (const Message& value : values)
    list.push_back(Json::array({to_json(value.role), to_json(value.content)}));
  return list;
}

// Packed, since a number of its own in the tree takes 16 bytes and a conversation has many.
inline Json to_json(const std::vector<TokenId>& tokens) {
  std::string bytes;
  bytes.reserve(tokens.size() * sizeof(TokenId));
  for (const TokenId token : tokens) append_le(bytes, token);
  return to_json(bytes);
}

inline Json to_json(const std::vector<std::vector<TokenId>>& values) {
  Json list = Json::array();
  for (const auto& value : values) list.push_back(to_json(value));
  return list;
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

template <class T>
requires std::is_enum_v<T>
bool from_json(const Json& json, T& value) {
  std::underlying_type_t<T> number = 0;
  if (!from_json(json, number) || number >= kEnumValues<T>) return false;
  value = static_cast<T>(number);
  return true;
}

inline bool from_json(const Json& json, double& value) {
  if (!json.is_number_float()) return false;
  value = json.get<double>();
  return true;
}

inline bool from_json(const Json& json, float& value) {
  if (!json.is_number_float()) return false;
  const auto number = json.get<double>();
  if (std::isfinite(number) && std::abs(number) > std::numeric_limits<float>::max()) return false;
  value = static_cast<float>(number);
  return true;
}

inline bool from_json(const Json& json, std::chrono::milliseconds& value) {
  std::int64_t count = 0;
  if (!from_json(json, count)) return false;
  value = std::chrono::milliseconds(count);
  return true;
}

inline bool from_json(const Json& json, std::optional<Priority>& value) {
  if (json.is_null()) {
    value.reset();
    return true;
  }
  return from_json(json, value.emplace());
}

inline bool from_json(const Json& json, std::string& value) {
  if (!json.is_binary()) return false;
  const Json::binary_t& bytes = json.get_binary();
  value.assign(bytes.begin(), bytes.end());
  return true;
}

inline bool from_json(const Json& json, LogitBias& value) {
  return json.is_array() && json.size() == 2 && from_json(json[0], value.token) &&
         from_json(json[1], value.bias);
}

inline bool from_json(const Json& json, Message& value) {
  return json.is_array() && json.size() == 2 && from_json(json[0], value.role) &&
         from_json(json[1], value.content);
}

inline bool from_json(const Json& json, std::vector<TokenId>& tokens) {
  if (!json.is_binary() || json.get_binary().size() % sizeof(TokenId) != 0) return false;
  const Json::binary_t& bytes = json.get_binary();
  tokens.resize(bytes.size() / sizeof(TokenId));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = read_le<TokenId>(bytes.data() + i * sizeof(TokenId));
  return true;
}

template <class T>
bool from_json(const Json& json, std::vector<T>& values) {
  if (!json.is_array()) return false;
  values.resize(json.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!from_json(json[i], values[i])) return false;
  return true;
}

// ---- the fields of a value that both formats have

template <class S, class Field>
void sampling_fields(S& s, Field&& field) {
  // All members, so that one that is added there and forgotten here does not compile.
  auto& [temperature, top_k, top_p, min_p, repeat_penalty, frequency_penalty, presence_penalty,
         repeat_last_n, seed, bias] = s;
  field("temperature", temperature);
  field("top_k", top_k);
  field("top_p", top_p);
  field("min_p", min_p);
  field("repeat_penalty", repeat_penalty);
  field("frequency_penalty", frequency_penalty);
  field("presence_penalty", presence_penalty);
  field("repeat_last_n", repeat_last_n);
  field("seed", seed);
  field("bias", bias);
}

// ---- all fields of a value: to be called with the name and the place of each

struct Writer {
  Json json = Json::object();
  template <class T>
  void operator()(const char* name, const T& value) {
    json[name] = to_json(value);
  }
};

struct Reader {
  const Json& json;
  std::string_view wrong = {};  // the last field that is missing or of a wrong kind
  template <class T>
  void operator()(const char* name, T& value) {
    const auto found = json.find(name);
    if (found == json.end() || !from_json(*found, value)) wrong = name;
  }
};

}  // namespace choir::cbor_fields

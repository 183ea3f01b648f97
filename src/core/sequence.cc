#include "core/sequence.h"

#include <exception>

#include "core/cbor.h"
#include "core/cbor_fields.h"

namespace choir {
namespace {

using cbor_fields::append_le;
using cbor_fields::checksum;
using cbor_fields::Json;
using cbor_fields::read_le;

constexpr std::string_view kSequenceMagic = "CHSQ";
constexpr std::uint32_t kSequenceVersion = 3;
constexpr std::size_t kHeaderBytes = kSequenceMagic.size() + sizeof kSequenceVersion;
constexpr std::size_t kChecksumBytes = sizeof(XXH64_hash_t);
constexpr std::size_t kSequenceTokensMax = 2 * kPromptTokensMax;  // as much output as prompt
constexpr std::size_t kBytesMax =
    kSequenceTokensMax * sizeof(TokenId) + (1U << 20U);  // and the rest
constexpr std::size_t kCarryBytesMax = 65536;  // a token's text, and what stop strings hold back

// ---- the one list of fields; a change of it needs a new kSequenceVersion

template <class S, class Field>
void fields(S& s, Field&& field) {
  // All members, so that one that is added there and forgotten here does not compile.
  auto& [id, request, model_fingerprint, tokens, prompt_tokens, max_tokens, sampling, stream_index,
         stop, ignore_eos, priority, tenant, tenant_weight, reuse_scope, carry, next_event,
         deadline_left_ns] = s;
  field("id", id.value);
  field("request", request.value);
  field("model_fingerprint", model_fingerprint);
  field("tokens", tokens);
  field("prompt_tokens", prompt_tokens);
  field("max_tokens", max_tokens);
  cbor_fields::sampling_fields(sampling, field);
  field("stream_index", stream_index);
  field("stop", stop);
  field("ignore_eos", ignore_eos);
  field("priority", priority);
  field("tenant", tenant);
  field("tenant_weight", tenant_weight);
  field("reuse_scope", reuse_scope);
  field("carry_bytes", carry.bytes);
  field("carry_pending", carry.pending);
  field("next_event", next_event);
  field("deadline_left_ns", deadline_left_ns);
}

// ---- reading, from the outside in

tl::unexpected<Error> unreadable(const std::string& why) {
  return fail(Code::kInvalidArgument, "sequence: " + why);
}

// The payload, once magic, version and checksum are right.
Result<std::string_view> open_envelope(std::string_view bytes) {
  if (bytes.size() > kBytesMax)
    return unreadable(std::to_string(bytes.size()) + " bytes, at most " +
                      std::to_string(kBytesMax));
  if (bytes.substr(0, kSequenceMagic.size()) != kSequenceMagic)
    return unreadable("does not begin with CHSQ");
  if (bytes.size() < kHeaderBytes + kChecksumBytes)
    return unreadable("cut off after " + std::to_string(bytes.size()) + " bytes");
  const auto version = read_le<std::uint32_t>(bytes.data() + kSequenceMagic.size());
  if (version != kSequenceVersion)
    return unreadable("format version " + std::to_string(version) + ", this build reads " +
                      std::to_string(kSequenceVersion));
  const std::string_view covered = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (read_le<std::uint64_t>(bytes.data() + covered.size()) != checksum(covered))
    return unreadable("checksum does not match: torn or altered");
  return covered.substr(kHeaderBytes);
}

Result<Sequence> parse(std::string_view payload) {
  if (Status status = check_cbor(payload, {}); !status)
    return tl::unexpected(std::move(status).error().in("sequence"));
  const Json json = Json::from_cbor(payload, /*strict=*/true, /*allow_exceptions=*/false);
  if (!json.is_object()) return unreadable("the payload is not a map");

  Sequence sequence;
  cbor_fields::Reader reader{.json = json};
  fields(sequence, reader);
  if (!reader.wrong.empty())
    return unreadable("field " + std::string(reader.wrong) + " is missing or of a wrong kind");
  return sequence;
}

Status check_values(const Sequence& s) {
  if (s.tokens.empty() || s.tokens.size() > kSequenceTokensMax)
    return unreadable("has " + std::to_string(s.tokens.size()) + " tokens, allowed 1 .. " +
                      std::to_string(kSequenceTokensMax));
  for (const TokenId token : s.tokens)
    if (token < 0) return unreadable("token " + std::to_string(token) + " is negative");
  if (s.prompt_tokens < 1 || s.prompt_tokens > s.known_tokens())
    return unreadable("prompt_tokens is " + std::to_string(s.prompt_tokens) + ", allowed 1 .. " +
                      std::to_string(s.known_tokens()));
  if (s.max_tokens < s.output_tokens())
    return unreadable("max_tokens is " + std::to_string(s.max_tokens) + ", fewer than its " +
                      std::to_string(s.output_tokens()) + " output tokens");
  if (s.deadline_left_ns < 0) return unreadable("deadline_left_ns is negative");
  if (s.stop.size() > kStopStringsMax) return unreadable("has too many stop strings");
  for (const std::string& stop : s.stop)
    if (stop.empty() || stop.size() > kStopBytesMax)
      return unreadable("has an empty or too long stop string");
  if (s.tenant.size() > kNameBytesMax || s.reuse_scope.size() > kNameBytesMax ||
      s.model_fingerprint.size() > kNameBytesMax)
    return unreadable("tenant, reuse_scope or model_fingerprint is too long");
  if (!(s.tenant_weight >= kTenantWeightMin && s.tenant_weight <= kTenantWeightMax))
    return unreadable("tenant_weight is out of range");
  if (s.carry.bytes.size() > kCarryBytesMax || s.carry.pending.size() > kCarryBytesMax)
    return unreadable("text carry is too long");
  if (Status status = validate(s.sampling); !status)
    return tl::unexpected(std::move(status).error().in("sequence: sampling"));
  return {};
}

}  // namespace

std::string serialize(const Sequence& sequence) {
  cbor_fields::Writer writer;
  fields(sequence, writer);
  std::string bytes(kSequenceMagic);
  append_le(bytes, kSequenceVersion);
  Json::to_cbor(writer.json, bytes);
  append_le(bytes, checksum(bytes));
  return bytes;
}

Result<Sequence> deserialize(std::string_view bytes) {
  try {
    const std::string_view payload = CHOIR_TRY(open_envelope(bytes));
    Sequence sequence = CHOIR_TRY(parse(payload));
    CHOIR_CHECK_OK(check_values(sequence));
    // Doubled keys, unknown keys, numbers wider than needed: nothing of ours writes that.
    if (serialize(sequence) != bytes) return unreadable("not in its canonical form");
    return sequence;
  } catch (const std::exception& e) {  // nlohmann-json, and std::bad_alloc
    return unreadable(std::string("not readable: ") + e.what());
  }
}

}  // namespace choir

#include "core/frozen_executor.h"

#include <cmath>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <utility>

#include "core/frozen_fields.h"
#include "core/packed_parts.h"

namespace choir {
namespace {

using cbor_fields::append_le;
using cbor_fields::read_le;
using frozen_fields::EmbeddingParts;
using frozen_fields::fields;

constexpr std::string_view kFrozen = "CHFZ";
constexpr std::string_view kMove = "CHMV";
constexpr std::uint32_t kFrozenVersion = 2;  // of both

tl::unexpected<Error> not_read(const std::string& why) {
  return fail(Code::kInvalidArgument, "frozen executor: " + why);
}

// ---- one of each kind

void pack(Packer& out, const FrozenSequence& s) {
  out.cbor([&](auto& field) { fields(s, field); });
  out.raw(serialize(s.value));
  out.raw(s.kv);
}

bool is_span(double seconds) { return std::isfinite(seconds) && seconds >= 0; }

bool makes_sense(const FrozenSequence& s) {
  const Usage& u = s.usage;
  for (const std::int32_t count : {u.prompt_tokens, u.output_tokens, u.reused_tokens,
                                   u.recomputed_tokens, s.kv_use, s.kv_tokens - s.kv_use})
    if (count < 0) return false;
  return is_span(u.queue_seconds) && is_span(u.held_seconds) && is_span(u.parked_seconds) &&
         is_span(u.first_token_seconds) && is_span(u.total_seconds) && s.age_ns >= 0 &&
         s.idle_ns >= 0 && s.behind_ns >= -1 && s.first_token_ns >= 0 &&
         s.kv_use <= s.value.known_tokens() && (s.kv.empty() == (s.kv_tokens == 0)) &&
         s.usage.output_tokens <= s.value.output_tokens();
}

FrozenSequence unpack_sequence(Unpacker& in) {
  FrozenSequence s;
  in.cbor([&](auto& field) { fields(s, field); });
  const std::string_view value = in.raw();
  s.kv = in.raw();
  if (!in.ok()) return s;
  auto read = deserialize(value);
  if (!read) {
    in.wrong(read.error().message);
    return s;
  }
  s.value = std::move(*read);
  if (!makes_sense(s)) in.wrong("numbers of a sequence that none has");
  return s;
}

void pack(Packer& out, const FrozenEmbedding& e) {
  EmbeddingParts parts;
  for (const Embedding& embedding : e.embeddings) {
    std::string& packed = parts.vectors.emplace_back();
    for (const float number : embedding.vector) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, &number, sizeof bits);
      append_le(packed, bits);
    }
    parts.tokens.push_back(embedding.tokens);
    parts.truncated.push_back(embedding.truncated ? 1 : 0);
  }
  out.cbor([&](auto& field) { fields(e, parts, field); });
}

FrozenEmbedding unpack_embedding(Unpacker& in) {
  FrozenEmbedding e;
  EmbeddingParts parts;
  in.cbor([&](auto& field) { fields(e, parts, field); });
  const std::size_t count = e.texts.size();
  bool right = count > 0 && count <= kEmbedTextsMax && parts.vectors.size() == count &&
               parts.tokens.size() == count && parts.truncated.size() == count && e.next <= count;
  for (std::size_t i = 0; right && i < count; ++i) {
    Embedding embedding{
        .vector = {}, .tokens = parts.tokens[i], .truncated = parts.truncated[i] != 0};
    embedding.vector.resize(parts.vectors[i].size() / sizeof(float));
    for (std::size_t k = 0; k < embedding.vector.size(); ++k) {
      const auto bits = read_le<std::uint32_t>(parts.vectors[i].data() + k * sizeof(std::uint32_t));
      std::memcpy(&embedding.vector[k], &bits, sizeof bits);
    }
    right = !e.texts[i].empty() && embedding.tokens >= 0;
    e.embeddings.push_back(std::move(embedding));
  }
  if (!right) in.wrong("a request to embed that none is");
  return e;
}

void pack(Packer& out, const FrozenArrival& a) {
  out.cbor([&](auto& field) {
    fields(a, field);
    field("embeds", a.embed.has_value());
  });
  if (a.embed)
    out.cbor([&](auto& field) { fields(*a.embed, field); });
  else
    out.cbor([&](auto& field) { fields(a.request, field); });
  out.cbor([&](auto& field) { fields(a.kv, field); });
  out.raw(a.kv.blob);
}

FrozenArrival unpack_arrival(Unpacker& in) {
  FrozenArrival a;
  bool embeds = false;
  in.cbor([&](auto& field) {
    fields(a, field);
    field("embeds", embeds);
  });
  if (embeds) a.embed.emplace();
  if (a.embed)
    in.cbor([&](auto& field) { fields(*a.embed, field); });
  else
    in.cbor([&](auto& field) { fields(a.request, field); });
  in.cbor([&](auto& field) { fields(a.kv, field); });
  a.kv.blob = in.raw();
  if (!in.ok()) return a;
  if (const Status valid = a.embed ? validate(*a.embed) : validate(a.request); !valid)
    in.wrong(valid.error().message);
  for (const TokenId token : a.tokens)
    if (token < 0) in.wrong("a token that is negative");
  return a;
}

void pack(Packer& out, ConversationKey key, const KvState& state) {
  out.cbor([&](auto& field) {
    field("key", key.value);
    fields(state, field);
  });
  out.raw(state.blob);
}

void unpack_kept(Unpacker& in, std::map<ConversationKey, KvState>& kept) {
  ConversationKey key;
  KvState state;
  in.cbor([&](auto& field) {
    field("key", key.value);
    fields(state, field);
  });
  state.blob = in.raw();
  if (in.ok() && (key == ConversationKey{} || state.tokens.empty() || state.blob.empty() ||
                  !kept.emplace(key, std::move(state)).second))
    in.wrong("KV state of no conversation, or of one twice");
}

Result<FrozenExecutor> unpack_frozen(std::string_view bytes) {
  Unpacker in(bytes, kFrozen, kFrozenVersion);
  FrozenExecutor frozen;
  std::vector<std::string> tenants;
  std::vector<std::string> left;
  in.cbor([&](auto& field) {
    fields(frozen, field);
    field("tenants", tenants);
    field("left", left);
  });
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    const bool right = left.size() == tenants.size() && left[i].size() == sizeof(std::int64_t) &&
                       tenants[i].size() <= kNameBytesMax;
    if (!right) {
      in.wrong("a lease that none is");
      break;
    }
    frozen.leases.push_back({tenants[i], read_le<std::int64_t>(left[i].data())});
    const std::int64_t left_ns = frozen.leases.back().left_ns;
    if (left_ns < -1 || left_ns > Nanos(kDeadlineMax).count()) in.wrong("a lease that none is");
  }
  for (auto i = in.count(); i > 0 && in.ok(); --i) frozen.sequences.push_back(unpack_sequence(in));
  for (auto i = in.count(); i > 0 && in.ok(); --i)
    frozen.embeddings.push_back(unpack_embedding(in));
  for (auto i = in.count(); i > 0 && in.ok(); --i) frozen.arrivals.push_back(unpack_arrival(in));
  for (auto i = in.count(); i > 0 && in.ok(); --i) unpack_kept(in, frozen.kept);
  if (in.ok() && !in.at_end()) in.wrong("bytes behind the end");
  const FrozenCounts& counts = frozen.counts;
  if (in.ok() && !(is_span(counts.seconds_per_prompt_token) &&
                   is_span(counts.seconds_per_output_token) && is_span(counts.compute_seconds)))
    in.wrong("counts that nobody counts");
  if (!in.ok()) return not_read(in.what());
  return frozen;
}

Result<ExecutorMove> unpack_move(std::string_view bytes) {
  Unpacker in(bytes, kMove, kFrozenVersion);
  ExecutorMove move;
  in.cbor([&](auto& field) {
    field("epoch", move.epoch.value);
    fields(move.config, field);
  });
  if (in.ok() && !in.at_end()) in.wrong("bytes behind the end");
  if (!in.ok()) return not_read(in.what());
  CHOIR_CHECK_OK(validate(move.config));
  return move;
}

// Doubled keys, unknown keys, numbers wider than needed: nothing of ours writes that.
template <class Value>
Result<Value> read_canonical(std::string_view bytes, Result<Value> (*unpack)(std::string_view)) {
  try {
    Value value = CHOIR_TRY(unpack(bytes));
    if (serialize(value) != bytes) return not_read("not in its canonical form");
    return value;
  } catch (const std::exception& e) {  // nlohmann-json, and std::bad_alloc
    return not_read(std::string("not readable: ") + e.what());
  }
}

}  // namespace

std::string serialize(const FrozenExecutor& frozen) {
  Packer out(kFrozen, kFrozenVersion);
  std::vector<std::string> tenants;
  std::vector<std::string> left;
  for (const FrozenLease& lease : frozen.leases) {
    tenants.push_back(lease.tenant);
    append_le(left.emplace_back(), lease.left_ns);
  }
  out.cbor([&](auto& field) {
    fields(frozen, field);
    field("tenants", tenants);
    field("left", left);
  });
  out.count(frozen.sequences.size());
  for (const FrozenSequence& s : frozen.sequences) pack(out, s);
  out.count(frozen.embeddings.size());
  for (const FrozenEmbedding& e : frozen.embeddings) pack(out, e);
  out.count(frozen.arrivals.size());
  for (const FrozenArrival& a : frozen.arrivals) pack(out, a);
  out.count(frozen.kept.size());
  for (const auto& [key, state] : frozen.kept) pack(out, key, state);
  return std::move(out).sealed();
}

std::string serialize(const ExecutorMove& move) {
  Packer out(kMove, kFrozenVersion);
  out.cbor([&](auto& field) {
    field("epoch", move.epoch.value);
    fields(move.config, field);
  });
  return std::move(out).sealed();
}

Result<FrozenExecutor> deserialize_frozen(std::string_view bytes) {
  return read_canonical<FrozenExecutor>(bytes, unpack_frozen);
}

Result<ExecutorMove> deserialize_move(std::string_view bytes) {
  return read_canonical<ExecutorMove>(bytes, unpack_move);
}

}  // namespace choir

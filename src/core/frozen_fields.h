// The fields of what goes from one node to another (core/frozen_executor.h), with their names in
// the byte format. A change of one needs a new version of the format.
//
// Each list names all members of its struct, so that one that is added there and forgotten here
// does not compile. What a part of its own carries is called apart. Pure; any thread.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "core/cbor_fields.h"
#include "core/frozen_executor.h"

namespace choir::frozen_fields {

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, ExecutorConfig>
void fields(S& s, Field& field) {
  auto& [name, path, context_tokens, sequences_max, sequence_tokens_max, batch_tokens_max, shares,
         priority, park_bytes_max, batching, pinned, prefix_cache, kv_type] = s;
  field("name", name);
  field("path", path);
  field("context_tokens", context_tokens);
  field("sequences_max", sequences_max);
  field("sequence_tokens_max", sequence_tokens_max);
  field("batch_tokens_max", batch_tokens_max);
  field("shares", shares);
  field("priority", priority);
  field("park_bytes_max", park_bytes_max);
  field("batching", batching);
  field("pinned", pinned);
  field("prefix_cache", prefix_cache);
  field("kv_type", kv_type);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, FrozenSequence>
void fields(S& s, Field& field) {
  auto& [value_apart, gated, begun, lifted, age_ns, idle_ns, behind_ns, text, usage, first_token_ns,
         conversation, kv_apart, kv_tokens, kv_use, reusing] = s;
  auto& [prompt_tokens, output_tokens, reused_tokens, recomputed_tokens, queue_seconds,
         held_seconds, parked_seconds, first_token_seconds, total_seconds] = usage;
  field("gated", gated);
  field("begun", begun);
  field("lifted", lifted);
  field("age_ns", age_ns);
  field("idle_ns", idle_ns);
  field("behind_ns", behind_ns);
  field("text", text);
  field("prompt_tokens", prompt_tokens);
  field("output_tokens", output_tokens);
  field("reused_tokens", reused_tokens);
  field("recomputed_tokens", recomputed_tokens);
  field("queue_seconds", queue_seconds);
  field("held_seconds", held_seconds);
  field("parked_seconds", parked_seconds);
  field("first_token_seconds", first_token_seconds);
  field("total_seconds", total_seconds);
  field("first_token_ns", first_token_ns);
  field("conversation", conversation.value);
  field("kv_tokens", kv_tokens);
  field("kv_use", kv_use);
  field("reusing", reusing);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, Request>
void fields(S& s, Field& field) {
  auto& [executor, messages, text, tokens, parse_special, default_template, max_tokens, sampling,
         stream, stop, ignore_eos, priority, deadline, tenant, tenant_weight, reuse_scope] = s;
  field("executor", executor);
  field("messages", messages);
  field("text", text);
  field("tokens", tokens);
  field("parse_special", parse_special);
  field("default_template", default_template);
  field("max_tokens", max_tokens);
  cbor_fields::sampling_fields(sampling, field);
  field("stop", stop);
  field("ignore_eos", ignore_eos);
  field("stream", stream);
  field("priority", priority);
  field("deadline", deadline);
  field("tenant", tenant);
  field("tenant_weight", tenant_weight);
  field("reuse_scope", reuse_scope);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, EmbedRequest>
void fields(S& s, Field& field) {
  auto& [executor, texts, tokens, truncate, priority, deadline, tenant] = s;
  field("executor", executor);
  field("texts", texts);
  field("tokens", tokens);
  field("truncate", truncate);
  field("priority", priority);
  field("deadline", deadline);
  field("tenant", tenant);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, FrozenArrival>
void fields(S& s, Field& field) {
  auto& [id, request_apart, embed_apart, tokens, model_fingerprint, conversation, kv_apart, late,
         awaited] = s;
  field("id", id.value);
  field("prepared_tokens", tokens);
  field("model_fingerprint", model_fingerprint);
  field("conversation", conversation.value);
  field("late", late);
  field("awaited", awaited);
}

// Numbers of all embeddings side by side, the vectors packed.
struct EmbeddingParts {
  std::vector<std::string> vectors;  // little endian floats
  std::vector<TokenId> tokens;
  std::vector<TokenId> truncated;
};

template <class S, class Parts, class Field>
void fields(S& s, Parts& parts, Field& field) {
  auto& [request, texts, embeddings_in_parts, next, gated] = s;
  field("request", request.value);
  field("texts", texts);
  field("next", next);
  field("gated", gated);
  field("vectors", parts.vectors);
  field("tokens", parts.tokens);
  field("truncated", parts.truncated);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, KvState>
void fields(S& s, Field& field) {
  auto& [blob_apart, tokens, kv_type, reuse_scope] = s;
  field("kept_tokens", tokens);
  field("kv_type", kv_type);
  field("reuse_scope", reuse_scope);
}

template <class S, class Field>
requires std::is_same_v<std::remove_const_t<S>, FrozenExecutor>
void fields(S& s, Field& field) {
  auto& [key, model_fingerprint, suspended, counts, leases_apart, let_go, sequences_apart,
         embeddings_apart, arrivals_apart, kept_apart] = s;
  auto& [steps, prompt_tokens, output_tokens, requests_done, requests_failed, preemptions, aborts,
         reused_tokens, seconds_per_prompt_token, seconds_per_output_token, compute_seconds] =
      counts;
  field("executor", key.executor);
  field("epoch", key.epoch.value);
  field("model_fingerprint", model_fingerprint);
  field("suspended", suspended);
  field("steps", steps);
  field("prompt_tokens", prompt_tokens);
  field("output_tokens", output_tokens);
  field("requests_done", requests_done);
  field("requests_failed", requests_failed);
  field("preemptions", preemptions);
  field("aborts", aborts);
  field("reused_tokens", reused_tokens);
  field("seconds_per_prompt_token", seconds_per_prompt_token);
  field("seconds_per_output_token", seconds_per_output_token);
  field("compute_seconds", compute_seconds);
  field("let_go", let_go);
}

}  // namespace choir::frozen_fields

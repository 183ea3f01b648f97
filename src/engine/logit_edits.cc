#include "engine/logit_edits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace choir {
namespace {

bool inside(TokenId token, std::span<const float> logits) {
  return token >= 0 && static_cast<std::size_t>(token) < logits.size();
}

void set(std::span<float> logits, TokenId token, float value, LogitEdits& edits) {
  float& logit = logits[static_cast<std::size_t>(token)];
  edits.before.push_back({token, logit});
  logit = value;
}

float penalised(float logit, std::uint32_t count, const Sampling& sampling) {
  const float scaled =
      logit > 0 ? logit / sampling.repeat_penalty : logit * sampling.repeat_penalty;
  return scaled -
         (static_cast<float>(count) * sampling.frequency_penalty + sampling.presence_penalty);
}

// A ban holds at +infinity too, where a sum would be NaN, which only a broken model gives.
float biased(float logit, float bias) {
  const bool banned = bias == -std::numeric_limits<float>::infinity() && !std::isnan(logit);
  return banned ? bias : logit + bias;
}

void penalise(std::span<float> logits, const Sampling& sampling, std::span<const TokenId> recent,
              LogitEdits& edits) {
  const auto window = static_cast<std::size_t>(std::max(sampling.repeat_last_n, 0));
  recent = recent.last(std::min(window, recent.size()));
  if (edits.counts.size() < logits.size()) edits.counts.resize(logits.size());
  for (const TokenId token : recent)
    if (inside(token, logits)) ++edits.counts[static_cast<std::size_t>(token)];
  for (const TokenId token : recent) {
    if (!inside(token, logits)) continue;
    // The first visit takes the count, so each token is done once and the table is clean again.
    const std::uint32_t count = std::exchange(edits.counts[static_cast<std::size_t>(token)], 0);
    if (count > 0)
      set(logits, token, penalised(logits[static_cast<std::size_t>(token)], count, sampling),
          edits);
  }
}

}  // namespace

void edit_logits(std::span<float> logits, const Sampling& sampling, std::span<const TokenId> recent,
                 LogitEdits& edits) {
  edits.before.clear();
  const bool penalties = sampling.repeat_penalty != 1 || sampling.frequency_penalty != 0 ||
                         sampling.presence_penalty != 0;
  if (penalties) penalise(logits, sampling, recent, edits);
  for (const auto& [token, bias] : sampling.bias)
    if (inside(token, logits))
      set(logits, token, biased(logits[static_cast<std::size_t>(token)], bias), edits);
}

void undo_edits(std::span<float> logits, const LogitEdits& edits) {
  for (auto it = edits.before.rbegin(); it != edits.before.rend(); ++it)
    logits[static_cast<std::size_t>(it->token)] = it->logit;
}

}  // namespace choir

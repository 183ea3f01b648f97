#include "serve/replica_choice.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "policy/route.h"

namespace choir::serve {
namespace {

constexpr std::size_t kTextBytes = 256;
constexpr std::size_t kTokens = 64;
constexpr std::int32_t kBytesPerToken = 4;  // of English text
// What a request counts at least. Without it all would go to the first replica until something has
// been measured. It is less than a forward pass takes.
constexpr double kRequestSeconds = 0.001;

// Not a secret: marks of two prompts that are the same by chance send a request elsewhere, and show
// nothing of the other one.
class Mark {
 public:
  void add(std::string_view part) {
    const std::size_t hash = std::hash<std::string_view>()(part);
    value_ ^= hash + 0x9E3779B97F4A7C15U + (value_ << 6U) + (value_ >> 2U);  // boost's combination
  }
  std::size_t value() const { return value_; }

 private:
  std::size_t value_ = 0;
};

void add_chat(Mark& mark, const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    mark.add(message.role);
    mark.add(message.content);
    if (message.role == "user") return;
  }
}

void add_prompt(Mark& mark, const Prompt& prompt) {
  mark.add(std::string_view(prompt.text).substr(0, kTextBytes));
  const std::size_t tokens = std::min(kTokens, prompt.tokens.size());
  mark.add({reinterpret_cast<const char*>(prompt.tokens.data()), tokens * sizeof(TokenId)});
}

// A token counts as many bytes as it has in a text.
std::size_t bytes_of(std::string_view text, const std::vector<TokenId>& tokens) {
  return text.size() + tokens.size() * kBytesPerToken;
}

std::int32_t tokens_of(std::size_t count) {
  return static_cast<std::int32_t>(std::min<std::size_t>(count, kPromptTokensMax));
}

double seconds_left(const Replica& replica, const PromptSight& sight) {
  const ExecutorInfo& info = replica.info;
  const std::int32_t output = std::min(sight.output_tokens_max, info.config.sequence_tokens_max);
  const double of_one = guessed_tokens(sight) * info.seconds_per_prompt_token +
                        output * info.seconds_per_output_token + kRequestSeconds;
  return info.outstanding_seconds + info.active * kRequestSeconds + replica.coming * of_one;
}

bool is_loaded(const Replica& replica) { return replica.info.loaded; }

}  // namespace

PromptSight sight_of(const Asked& asked, const Client& client) {
  Mark mark;
  for (const std::string& part : {client.tenant, asked.cache_salt, asked.prompt_cache_key})
    mark.add(part);
  std::size_t bytes = 0;
  for (const Message& message : asked.request.messages) bytes += message.content.size();
  for (const Prompt& prompt : asked.prompts) bytes += bytes_of(prompt.text, prompt.tokens);
  bytes += asked.request.text.size();
  add_chat(mark, asked.request.messages);
  if (!asked.prompts.empty()) add_prompt(mark, asked.prompts.front());
  if (!asked.request.text.empty()) add_prompt(mark, {.text = asked.request.text});
  return {.mark = mark.value(),
          .prompt_bytes = tokens_of(bytes),
          .output_tokens_max =
              asked.max_tokens_given ? asked.request.max_tokens : asked.max_tokens_otherwise};
}

PromptSight sight_of(const EmbedRequest& request) {
  std::size_t bytes = 0;
  for (const std::string& text : request.texts) bytes += text.size();
  for (const auto& tokens : request.tokens) bytes += bytes_of({}, tokens);
  return {.prompt_bytes = tokens_of(bytes)};
}

std::int32_t guessed_tokens(const PromptSight& sight) {
  return sight.prompt_bytes / kBytesPerToken;
}

std::optional<std::size_t> chosen(std::span<const Replica> replicas, const PromptSight& sight,
                                  const std::optional<PrefixHolder>& holder) {
  const bool some_loaded = std::ranges::any_of(replicas, is_loaded);
  std::vector<ReplicaView> views;
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    const ExecutorInfo& info = replicas[i].info;
    if (some_loaded && !info.loaded) continue;
    views.push_back(
        {.id = {i},
         .priority = info.config.priority,
         .full = info.full || info.suspended,
         .outstanding_seconds = seconds_left(replicas[i], sight),
         .seconds_per_prompt_token = info.seconds_per_prompt_token,
         .seconds_per_output_token = info.seconds_per_output_token,
         .reusable_tokens = holder && holder->executor == info.config.name ? holder->tokens : 0});
  }
  // A prompt has no more tokens than bytes, so it reuses at most as many.
  const auto found = route(views, {.prompt_tokens = sight.prompt_bytes,
                                   .output_tokens_max = sight.output_tokens_max,
                                   .balance = Balance::kPrefixAffinity});
  if (!found) return std::nullopt;
  return static_cast<std::size_t>(found->value);
}

bool wants_all(std::span<const Replica> replicas) {
  return std::ranges::none_of(replicas, [](const Replica& replica) {
    return is_loaded(replica) && replica.info.active + replica.coming == 0;
  });
}

}  // namespace choir::serve

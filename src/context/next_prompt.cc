#include "context/next_prompt.h"

#include <algorithm>
#include <utility>

#include "engine/control_texts.h"

namespace choir {
namespace {

Result<Rendered> rendered(const Model& model, const ConversationRecord& record,
                          std::string_view user, std::size_t dropped, const PromptRules& rules) {
  std::vector<Message> messages;
  if (!record.system.empty()) messages.push_back({"system", record.system});
  messages.insert(messages.end(), record.history.begin() + static_cast<std::ptrdiff_t>(dropped),
                  record.history.end());
  messages.push_back({"user", std::string(user)});
  if (!rules.raw && !model.info().chat_template.empty())
    return model.render(messages, rules.contents);
  // An answer follows its question as the model wrote it, without a mark between them.
  Rendered bare;
  for (const Message& message : messages) {
    if (!bare.text.empty() && message.role != "assistant") bare.text += '\n';
    bare.text += message.content;
  }
  if (!rules.raw && rules.contents == Contents::kText) bare.cuts = model.control_cuts(bare.text);
  return bare;
}

}  // namespace

Result<NextPrompt> next_prompt(const Model& model, const ConversationRecord& given,
                               std::string_view message, const PromptRules& rules) {
  // Users and assistant take turns: templates insist, and histories of bare texts count on it.
  ConversationRecord record = given;
  std::string user(message);
  if (!record.history.empty() && record.history.back().role == "user") {
    user = record.history.back().content + "\n" + user;
    record.history.pop_back();
  }
  const std::int32_t room = rules.tokens_max - std::min(rules.answer_tokens, rules.tokens_max / 4);
  NextPrompt prompt;
  prompt.user = user;
  Rendered text = CHOIR_TRY(rendered(model, record, user, 0, rules));
  if (!record.tokens.empty() && record.model_fingerprint == model.fingerprint() &&
      text.text.starts_with(record.covered)) {
    const auto added =
        CHOIR_TRY(tokens_of(model, text, record.covered.size(), Model::Special::kContinue));
    prompt.tokens = record.tokens;
    prompt.tokens.insert(prompt.tokens.end(), added.begin(), added.end());
  } else {
    prompt.tokens = CHOIR_TRY(tokens_of(model, text, 0, Model::Special::kParse));
  }
  prompt.covered = std::move(text.text);
  const auto fits = [&](std::int32_t most) {
    return static_cast<std::int64_t>(prompt.tokens.size()) <= most;
  };
  if (fits(room)) return prompt;
  // Re-rendered and computed again, never shifted: KV state knows positions.
  const std::int32_t target = rules.tokens_max / 4 * 3;
  while (!fits(std::min(room, target)) && prompt.dropped < record.history.size()) {
    prompt.dropped = std::min(prompt.dropped + 2, record.history.size());
    text = CHOIR_TRY(rendered(model, record, user, prompt.dropped, rules));
    prompt.tokens = CHOIR_TRY(tokens_of(model, text, 0, Model::Special::kParse));
    prompt.covered = std::move(text.text);
  }
  if (!fits(room))
    return fail(
        Code::kTooLong,
        "conversation '" + record.id + "' takes " + std::to_string(rules.tokens_max) +
            " tokens, and the new message with the system message alone has " +
            std::to_string(prompt.tokens.size()) + "; shorten it or raise its limit",
        {Fact::of("n_prompt_tokens", prompt.tokens.size()), Fact::of("n_ctx", rules.tokens_max)});
  return prompt;
}

void add_turn(const Model& model, ConversationRecord& record, NextPrompt prompt,
              std::string_view text, std::vector<TokenId> tokens) {
  if (!tokens.empty() && std::ranges::binary_search(model.end_tokens(), tokens.back()))
    tokens.pop_back();
  std::string said;
  for (const TokenId token : tokens) said += model.piece(token);
  if (said != text) {  // a stop string was cut off, or half a character
    auto again = model.tokenize(text, Model::Special::kPlain);
    tokens = again ? std::move(*again) : std::vector<TokenId>();
  }
  if (!record.history.empty() && record.history.back().role == "user") record.history.pop_back();
  record.history.erase(record.history.begin(),
                       record.history.begin() + static_cast<std::ptrdiff_t>(prompt.dropped));
  record.history.push_back({"user", std::move(prompt.user)});
  record.history.push_back({"assistant", std::string(text)});
  record.tokens = std::move(prompt.tokens);
  record.tokens.insert(record.tokens.end(), tokens.begin(), tokens.end());
  record.covered = std::move(prompt.covered);
  record.covered += text;
  record.model_fingerprint = model.fingerprint();
  ++record.turns;
}

}  // namespace choir

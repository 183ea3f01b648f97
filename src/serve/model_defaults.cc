#include "serve/model_defaults.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "serve/fields.h"

namespace choir::serve {
namespace {

bool was_given(const Asked& asked, std::string_view name) {
  return std::ranges::find(asked.given, name) != asked.given.end();
}

}  // namespace

void fill_in(const RequestDefaults& defaults, const Client& client, Asked& asked) {
  for (const auto& [name, value] : defaults.sampling.items()) {
    const Field* field = field_named(kChat, name);
    if (field != nullptr && !was_given(asked, field->name))
      static_cast<void>(set_field(*field, value, asked));  // was checked with the configuration
  }
  std::vector<Message>& messages = asked.request.messages;
  if (!defaults.system.empty() && !messages.empty() &&
      std::ranges::find(messages, "system", &Message::role) == messages.end())
    messages.insert(messages.begin(), {"system", defaults.system});
  // -1 is given, too: it asks for no limit.
  if (defaults.max_tokens > 0 && !was_given(asked, "max_tokens") && !was_given(asked, "n_predict"))
    asked.max_tokens_otherwise = defaults.max_tokens;
  if (!asked.keep_alive) asked.keep_alive = defaults.keep_alive;
  if (!asked.request.priority && defaults.priority < client.best)
    asked.request.priority = asked.embed.priority = client.best;
}

}  // namespace choir::serve

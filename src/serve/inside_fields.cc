#include "serve/inside_fields.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <utility>

#include "serve/value_rule.h"

namespace choir::serve {
namespace {

using Names = std::span<const std::string_view>;

// `content` and what is about tools is read; the others come with the messages of OpenAI's clients,
// and leaving them out gives the same answer.
constexpr auto kOfMessage = std::to_array<std::string_view>(
    {"role", "content", "tool_calls", "function_call", "name", "refusal", "annotations"});
constexpr auto kOfPart = std::to_array<std::string_view>({"type", "text"});
// Obfuscation pads the events of a stream.
constexpr auto kOfStream =
    std::to_array<std::string_view>({"include_usage", "include_obfuscation"});
constexpr auto kOfPrompt = std::to_array<std::string_view>({"prompt_string", "multimodal_data"});

class Finder {
 public:
  // What an object has beside the names that are known.
  void look(const Json& object, const std::string& place, std::string_view kind, Names known) {
    if (!object.is_object()) return;
    for (const auto& [name, value] : object.items())
      if (!value.is_null() && std::ranges::find(known, name) == known.end())
        add(place, kind, name, known);
  }
  std::vector<UnknownInside> take() { return std::move(found_); }

 private:
  void add(const std::string& place, std::string_view kind, const std::string& name, Names known) {
    if (found_.size() >= kInsideMost || !seen_.emplace(kind, name).second) return;
    ApiError error = unknown_field(name, std::vector<std::string>(known.begin(), known.end()));
    const std::string quoted = "'" + error.param + "'";
    const ApiError outer = field_error(place, "");
    error.message.replace(0, quoted.size(), "'" + place + "." + error.param + "'");
    error.param.insert(0, place + ".");
    error.pointer.insert(0, outer.pointer);
    found_.push_back({place + "." + name, std::move(error)});
  }

  std::set<std::pair<std::string_view, std::string>> seen_;
  std::vector<UnknownInside> found_;
};

std::string at(const std::string& list, std::size_t index) {
  return list + "." + std::to_string(index);
}

void look_at_messages(const Json& messages, Finder& finder) {
  if (!messages.is_array()) return;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string place = at("messages", i);
    finder.look(messages[i], place, "message", kOfMessage);
    if (!messages[i].is_object()) continue;
    const auto content = messages[i].find("content");
    if (content == messages[i].end() || !content->is_array()) continue;
    for (std::size_t part = 0; part < content->size(); ++part)
      finder.look((*content)[part], at(place + ".content", part), "part", kOfPart);
  }
}

void look_at_prompt(const Json& prompt, Finder& finder) {
  finder.look(prompt, "prompt", "prompt", kOfPrompt);
  if (!prompt.is_array()) return;
  for (std::size_t i = 0; i < prompt.size(); ++i)
    finder.look(prompt[i], at("prompt", i), "prompt", kOfPrompt);
}

}  // namespace

std::vector<UnknownInside> unknown_inside(Routes route, const Json& body) {
  Finder finder;
  const auto value = [&](Routes routes, const char* name) -> const Json& {
    static const Json kNone;
    const auto found = body.find(name);
    return (route & routes) == 0 || found == body.end() ? kNone : *found;
  };
  look_at_messages(value(kChat, "messages"), finder);
  finder.look(value(kChat | kCompletion, "stream_options"), "stream_options", "stream", kOfStream);
  look_at_prompt(value(kLlamaCompletion, "prompt"), finder);
  return finder.take();
}

}  // namespace choir::serve

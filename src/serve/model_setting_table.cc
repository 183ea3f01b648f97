// The rows of model_settings() in serve/settings.h.
#include <algorithm>
#include <array>
#include <filesystem>

#include "choir/request.h"
#include "choir/text.h"
#include "serve/field_values.h"
#include "serve/model_config.h"
#include "serve/replicas.h"
#include "serve/settings.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

using enum SettingType;

constexpr double kTokensMost = 1 << 24;
constexpr double kInt32 = 2147483647;
constexpr auto kBatchings = std::to_array<std::string_view>(
    {"continuous", "one_at_a_time", "collect", "collect_busy"});  // in the order of Batching
constexpr auto kSamplingFields = std::to_array<std::string_view>(
    {"temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n",
     "presence_penalty", "frequency_penalty", "seed"});

template <class Enum, class Names>
Enum named(const Names& names, const Json& value) {
  std::size_t place = 0;
  while (place + 1 < names.size() && value != names.at(place)) ++place;
  return static_cast<Enum>(place);
}

std::optional<std::string> wrong_names(const Json& names) {
  for (const Json& name : names)
    if (auto wrong = wrong_name(name.get_ref<const std::string&>())) return wrong;
  return std::nullopt;
}

constexpr auto kSettings = std::to_array<Setting>({
    {.name = "model",
     .type = kName,
     .least = 1,
     .most = 4096,
     .otherwise = "null",
     .meaning =
         "A name of the models folder or the catalogue, or the path of a GGUF file. Required",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.model); }},
    {.name = "name",
     .type = kName,
     .least = 1,
     .most = kNameBytesMax,
     .otherwise = "null",
     .meaning = "That clients use; without it, that of `model`",
     .also = [](const Json& v) { return wrong_name(v.get_ref<const std::string&>()); },
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.name); }},
    {.name = "aliases",
     .type = kNames,
     .least = 0,
     .most = 64,
     .otherwise = "[]",
     .meaning = "Other names of it",
     .also = wrong_names,
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.aliases); }},
    {.name = "preload",
     .type = kBoolean,
     .otherwise = "false",
     .meaning = "Load it before serving",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.preload); }},
    {.name = "pinned",
     .type = kBoolean,
     .otherwise = "false",
     .meaning = "It does not leave memory to make room for others",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.pinned); }},
    {.name = "replicas",
     .type = kInteger,
     .least = 1,
     .most = kReplicasMax,
     .otherwise = "1",
     .meaning = "Executors that share its requests and its weights, each with KV memory of its own",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.replicas); }},
    {.name = "keep_alive",
     .type = kTime,
     .otherwise = "null",
     .meaning =
         "How long it stays in memory after its last request; below 0 for ever, 0 not at all; "
         "without it as defaults.keep_alive says",
     .to_model = [](ModelConfig& m, const Json& v) { m.requests.keep_alive = keep_alive_of(v); }},
    {.name = "context_tokens",
     .type = kInteger,
     .least = 0,
     .most = kTokensMost,
     .otherwise = "0",
     .meaning = "Longest prompt and answer together; 0 as defaults.context_tokens says",
     .also = [](const Json& v) { return wrong_context_tokens(v.get<std::int64_t>()); },
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.context_tokens); }},
    {.name = "sequences",
     .type = kInteger,
     .least = 0,
     .most = 256,
     .otherwise = "0",
     .meaning = "Most generations at once; 0 as defaults.sequences says",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.sequences); }},
    {.name = "kv_type",
     .type = kChoice,
     .choices = kKvTypeNames,
     .otherwise = "null",
     .meaning = "How keys and values are kept; without it as defaults.kv_type says",
     .to_model = [](ModelConfig& m,
                    const Json& v) { m.kv_type = kv_type_named(v.get<std::string>()).value(); }},
    {.name = "shares",
     .type = kNumber,
     .least = 0.001,
     .most = 1000,
     .otherwise = "1",
     .meaning = "Of the compute, beside other models of its class",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.shares); }},
    {.name = "priority",
     .type = kChoice,
     .choices = kPriorityNames,
     .otherwise = R"("normal")",
     .meaning = "The class of its requests that ask for none; at most the class of their key",
     .to_model = [](ModelConfig& m,
                    const Json& v) { m.requests.priority = named<Priority>(kPriorityNames, v); }},
    {.name = "batching",
     .type = kChoice,
     .choices = kBatchings,
     .otherwise = R"("continuous")",
     .meaning =
         "When requests that wait may begin: as soon as there is room; when none runs; "
         "together, when enough of them wait or the oldest has waited for 10 ms; so only while "
         "many wait",
     .to_model = [](ModelConfig& m,
                    const Json& v) { m.batching = named<Batching>(kBatchings, v); }},
    {.name = "batch_tokens",
     .type = kInteger,
     .least = 1,
     .most = 8192,
     .otherwise = "512",
     .meaning = "Most tokens of one forward pass",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.batch_tokens); }},
    {.name = "prefix_cache",
     .type = kBoolean,
     .otherwise = "true",
     .meaning = "Prompts of one tenant that begin alike are computed once",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.prefix_cache); }},
    {.name = "max_tokens_default",
     .type = kInteger,
     .least = 0,
     .most = kInt32,
     .otherwise = "0",
     .meaning = "max_tokens of a request that has none; 0 to the end of the context",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.requests.max_tokens); }},
    {.name = "system",
     .type = kText,
     .least = 0,
     .most = 65536,
     .otherwise = R"("")",
     .meaning = "System message of a chat that has none",
     .to_model = [](ModelConfig& m, const Json& v) { v.get_to(m.requests.system); }},
    {.name = "sampling",
     .type = kSampling,
     .otherwise = "{}",
     .meaning = "Fields of a request that leaves them out",
     .to_model = [](ModelConfig& m, const Json& v) { m.requests.sampling = v; }},
});

}  // namespace

std::span<const Setting> model_settings() { return kSettings; }
std::span<const std::string_view> sampling_fields() { return kSamplingFields; }

// Clients and proxies resolve "." and ".." in a path before they send it.
std::optional<std::string> wrong_context_tokens(std::int64_t tokens) {
  if (tokens != 1) return std::nullopt;
  return "takes 0 or a whole number from 2 to " + number_text(kTokensMost) + ", not 1";
}

std::optional<std::string> wrong_name(std::string_view name) {
  bool fits = !name.empty() && name.size() <= kNameBytesMax &&
              std::ranges::none_of(
                  name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  // The paths of the API have an action behind the name.
  const std::size_t slash = name.rfind('/');
  if (fits && slash != std::string_view::npos &&
      std::ranges::find(kModelActions, name.substr(slash + 1)) != kModelActions.end())
    return "ends in a slash and '" + std::string(name.substr(slash + 1)) +
           "', which is what the paths of the API do with a model; take another name";
  for (std::string_view rest = name; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    fits = fits && part != "." && part != "..";
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  if (fits) return std::nullopt;
  return "takes 1 to " + std::to_string(kNameBytesMax) +
         " bytes without control characters, and without '.' or '..' between slashes, not '" +
         printable_line(name, 60) + "'";
}

std::string client_name(const ModelConfig& model) {
  if (!model.name.empty()) return model.name;
  const std::string_view end = ".gguf";
  std::string name = std::filesystem::path(model.model).filename().string();
  if (name.ends_with(end)) name.resize(name.size() - end.size());
  return name;
}

}  // namespace choir::serve

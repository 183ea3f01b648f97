#include "engine/chat_template.h"

#include <chat-auto-parser.h>
#include <chat.h>
#include <jinja/runtime.h>
#include <llama.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <exception>
#include <vector>

#include "base/clock.h"
#include "engine/template_nodes.h"

namespace choir {
namespace {

Error refusal(const std::exception& error) {
  return {Code::kInvalidArgument, "the model's chat template refuses these messages: " +
                                      std::string(error.what()).substr(0, 300)};
}

std::string date(ChatTemplate::Time now, const char* format) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &local)};
}

// The variables that a template is given.
constexpr std::array<const char*, 7> kVariables = {
    "messages",        "bos_token", "eos_token",  "add_generation_prompt",
    "enable_thinking", "datetime",  "date_string"};

jinja::value text_value(const std::string& text) {
  auto value = jinja::mk_val<jinja::value_string>(text);
  value->mark_input();
  return value;
}

// As the library's normalizer writes it: some templates want the content in a list of parts.
jinja::value message_value(const Message& message, const jinja::caps& caps) {
  auto value = jinja::mk_val<jinja::value_object>();
  value->insert("role", text_value(message.role));
  jinja::value content = text_value(message.content);
  if (caps.supports_typed_content && !caps.supports_string_content) {
    auto part = jinja::mk_val<jinja::value_object>();
    part->insert("type", text_value("text"));
    part->insert("text", content);
    auto parts = jinja::mk_val<jinja::value_array>();
    parts->push_back(std::move(part));
    content = std::move(parts);
  }
  value->insert("content", content);
  return value;
}

// What templates treat in their own ways: which role begins, which is missing, which comes twice,
// white space, no content, thoughts, and text that looks like a template.
std::vector<std::vector<Message>> conversations() {
  const Message system{"system", " Be brief.\n"};
  const Message user{"user", "\n Is it? {{ messages }} "};
  const Message assistant{"assistant", "<think>\nHm.\n</think>\n\nNo. "};
  const Message empty{"user", ""};
  return {{user},
          {system},
          {system, user},
          {user, assistant, user},
          {system, user, assistant, user, assistant, user},
          {user, user},
          {assistant, user},
          {user, system, user},
          {user, assistant},
          {system, system, user},
          {empty},
          {system, empty, assistant, user}};
}

}  // namespace

struct ChatTemplate::Inside {
  common_chat_templates_ptr library;
  std::unique_ptr<common_chat_template> own;  // the same source, read when it is first tried
  std::string bos_text;
  std::string eos_text;
  bool add_bos = false;
  bool add_eos = false;
  // Of `own`: its source, and which of the variables below are named in it.
  std::shared_ptr<std::string> own_source;
  std::uint32_t named = 0;

  void give_variables(jinja::context& context, std::span<const Message> messages, Time now) const;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Inside> inside)
    : inside_(std::move(inside)), source_(common_chat_templates_source(inside_->library.get())) {}

ChatTemplate::~ChatTemplate() = default;

ChatTemplate::Time ChatTemplate::now() { return Time(std::chrono::milliseconds(unix_ms())); }

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::of(const llama_model& model,
                                                       const std::string& source) {
  const llama_vocab* vocab = llama_model_get_vocab(&model);
  const auto text_of = [&](llama_token token) {
    return token == LLAMA_TOKEN_NULL ? std::string() : common_token_to_piece(vocab, token, true);
  };
  try {
    auto inside = std::make_unique<Inside>();
    inside->library = common_chat_templates_init(&model, source);
    // A template counts only if the file has one; the library would silently give ChatML.
    if (!inside->library || !common_chat_templates_was_explicit(inside->library.get()))
      return nullptr;
    inside->bos_text = text_of(llama_vocab_bos(vocab));
    inside->eos_text = text_of(llama_vocab_eos(vocab));
    inside->add_bos = llama_vocab_get_add_bos(vocab);
    inside->add_eos = llama_vocab_get_add_eos(vocab);
    return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(inside)));
  } catch (const std::exception& error) {
    return fail(Code::kEngineFailed, std::string(error.what()).substr(0, 200));
  }
}

bool ChatTemplate::alone() const {
  if (!alone_) alone_ = same_alone();
  return *alone_;
}

bool ChatTemplate::same_alone() const {
  const Time now = ChatTemplate::now();
  const auto shapes = conversations();
  try {
    inside_->own =
        std::make_unique<common_chat_template>(source_, inside_->bos_text, inside_->eos_text);
    autoparser::generation_params inputs;
    inputs.messages = common_json::array();
    for (const Message& message : shapes.front())
      inputs.messages.push_back({{"role", message.role}, {"content", message.content}});
    inputs.add_generation_prompt = true;
    if (common_chat_try_specialized_template(*inside_->own, source_, inputs)) return false;
    inside_->own_source = std::make_shared<std::string>(inside_->own->source());
    for (std::size_t i = 0; i < kVariables.size(); ++i)
      if (source_.find(kVariables[i]) != std::string::npos) inside_->named |= 1U << i;
    quicken(inside_->own->prog, source_);
  } catch (const std::exception&) {
    return false;  // the library will say what is wrong
  }
  // With its analysis once: it fails at some templates.
  Analysis analysis = Analysis::kWhole;
  for (const std::vector<Message>& messages : shapes) {
    const auto wanted = render_by_library(messages, now, analysis);
    const auto found = render_alone(messages, now);
    if (wanted.has_value() != found.has_value() || (wanted && *wanted != *found)) return false;
    analysis = Analysis::kNone;
  }
  return true;
}

Result<std::string> ChatTemplate::render(std::span<const Message> messages, Time now) const {
  if (alone())
    if (auto text = render_alone(messages, now)) return text;
  return render_by_library(messages, now);  // also for its words where the messages are refused
}

Result<std::string> ChatTemplate::render_by_library(std::span<const Message> messages, Time now,
                                                    Analysis analysis) const {
  try {
    common_chat_templates_inputs inputs;
    inputs.force_pure_content = analysis == Analysis::kNone;
    inputs.use_jinja = true;
    inputs.now = now;
    for (const Message& message : messages) {
      common_chat_msg out;
      out.role = message.role;
      out.content = message.content;
      inputs.messages.push_back(std::move(out));
    }
    return common_chat_templates_apply(inside_->library.get(), inputs).prompt;
  } catch (const std::exception& error) {
    return tl::unexpected(refusal(error));
  }
}

// Only those that the template names: the interpreter copies them into each scope.
void ChatTemplate::Inside::give_variables(jinja::context& context,
                                          std::span<const Message> messages, Time now) const {
  const auto set = [&](std::size_t index, const auto& value) {
    if ((named >> index & 1U) != 0) context.set_val(kVariables[index], value());
  };
  set(0, [&] {
    auto all = jinja::mk_val<jinja::value_array>();
    for (const Message& message : messages) all->push_back(message_value(message, own->caps));
    return all;
  });
  set(1, [&] { return text_value(bos_text); });
  set(2, [&] { return text_value(eos_text); });
  for (const std::size_t index : {3U, 4U})
    set(index, [] { return jinja::mk_val<jinja::value_bool>(true); });
  set(5, [&] { return text_value(date(now, "%b %d %Y")); });
  set(6, [&] { return text_value(date(now, "%d %b %Y")); });
}

// As common_chat_template_direct_apply.
Result<std::string> ChatTemplate::render_alone(std::span<const Message> messages, Time now) const {
  const Inside& in = *inside_;
  try {
    jinja::context context;
    context.src = in.own_source;
    in.give_variables(context, messages, now);
    const jinja::value results = jinja::runtime(context).execute(in.own->prog);
    std::string text = jinja::runtime::gather_string_parts(results)->as_string().str();
    if (in.add_bos && text.starts_with(in.bos_text)) text.erase(0, in.bos_text.size());
    if (in.add_eos && text.ends_with(in.eos_text)) text.resize(text.size() - in.eos_text.size());
    return text;
  } catch (const std::exception& error) {
    return tl::unexpected(refusal(error));
  }
}

}  // namespace choir

// choir show: what a model file says about itself.
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/catalog.h"
#include "choir/model_info.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct ShowOptions {
  std::string model;
  bool template_only = false;
  bool json = false;
};

constexpr std::size_t kShownCharacters = 100;

std::string count_text(std::uint64_t n) {
  if (n >= 1'000'000'000) return fixed(static_cast<double>(n) / 1e9, 1) + " B";
  if (n >= 1'000'000) return fixed(static_cast<double>(n) / 1e6, 1) + " M";
  return std::to_string(n);
}

std::string template_text(const ModelInfo& m) {
  if (!m.generates) return "";
  if (m.chat_template.empty()) return "none: prompts go in as raw text";
  return std::to_string(m.chat_template.size()) + " bytes (see --template)";
}

std::string kv_text(const ModelInfo& m) {
  const auto tokens = static_cast<std::uint64_t>(m.context_tokens_trained);
  std::string text = bytes_text(m.kv_bytes_per_token) + " a token, " +
                     bytes_text(m.kv_bytes_per_token * tokens) + " for its longest context";
  if (m.kv_bytes_per_token_q8_0 > 0)
    text += "; as q8_0 " + bytes_text(m.kv_bytes_per_token_q8_0) + " and " +
            bytes_text(m.kv_bytes_per_token_q8_0 * tokens);
  return text;
}

std::string heads_text(const ModelInfo& m) {
  return std::to_string(m.heads) + ", " + std::to_string(m.kv_heads) + " for keys and values";
}

std::string does_text(const ModelInfo& m) {
  if (!m.not_run.empty()) return "nothing here: it is " + m.not_run;
  return m.generates ? "generate text" : "embed text (an encoder)";
}

void print_lines(const ModelInfo& m) {
  const auto line = [](const std::string& text) { return printable_line(text, kShownCharacters); };
  std::vector<std::vector<std::string>> rows = {
      {"name", line(m.name)},
      {"file", line(m.path)},
      {"architecture", line(m.architecture)},
      {"does", does_text(m)},
      {"parameters", count_text(m.parameters)},
      {"quantization", line(m.quantization)},
      {"file size", bytes_text(m.file_bytes)},
      {"weights", bytes_text(m.weight_bytes)},
      {"context", std::to_string(m.context_tokens_trained) + " tokens"},
      {"kv memory", kv_text(m)},
      {"layers", std::to_string(m.layers)},
      {"embedding", std::to_string(m.embedding_size)},
      {"heads", heads_text(m)},
      {"vocabulary", std::to_string(m.vocab_tokens) + " tokens"},
      {"sliding window",
       m.sliding_window_tokens > 0 ? std::to_string(m.sliding_window_tokens) + " tokens" : ""},
      {"chat template", template_text(m)},
      {"own kernels", m.not_covered.empty() ? "for all of it" : "not for " + line(m.not_covered)},
      {"licence", line(m.license)},
  };
  std::erase_if(rows, [](const auto& row) { return row[1].empty(); });
  print(table(rows, "ll"));
}

Result<int> show(const ShowOptions& options) {
  const std::string path = CHOIR_TRY(resolve_model(options.model));
  const ModelInfo model = CHOIR_TRY(inspect_model(path));
  if (options.json) {
    print_json(json_of(model));
  } else if (options.template_only) {
    print(for_reader(Stream::kOut, model.chat_template) +
          (model.chat_template.ends_with('\n') ? "" : "\n"));
  } else {
    print_lines(model);
  }
  return kExitOk;
}

}  // namespace

void add_show(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = add_command(root, "show", "Show what a model file says about itself",
                                  "  choir show smollm2-135m\n"
                                  "  choir show ./model.gguf --json\n"
                                  "  choir show smollm2-135m --template");
  add_value(*command, "MODEL", options->model, "", "Name or GGUF file")->required();
  command->add_flag("--template", options->template_only,
                    "Print its chat template and nothing else");
  add_json(*command, options->json);
  command->callback([options, &chosen] { chosen = [options] { return show(*options); }; });
}

}  // namespace choir::app

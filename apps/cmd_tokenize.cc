// choir tokenize: a text as a model reads it.
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/catalog.h"
#include "choir/model_info.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "input.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  bool has_text = false;
  bool ids = false;
  bool count = false;
  bool json = false;
};

constexpr std::size_t kPieceCharacters = 200;

void print_tokens(const std::vector<TokenPiece>& tokens, const TokenizeOptions& options) {
  if (options.count) return print(std::to_string(tokens.size()) + "\n");
  std::string line;
  std::vector<std::vector<std::string>> rows;
  for (const TokenPiece& token : tokens) {
    line += (line.empty() ? "" : " ") + std::to_string(token.token);
    rows.push_back(
        {std::to_string(token.token), "'" + printable_line(token.piece, kPieceCharacters) + "'"});
  }
  print(options.ids ? line + "\n" : table(rows, "rl"));
}

Result<int> tokenize(const TokenizeOptions& options) {
  if (!options.has_text && stdin_is_terminal())
    return usage_error("there is no text; give one after the model or on standard input");
  const std::string path = CHOIR_TRY(resolve_model(options.model));
  const std::string text = options.has_text ? options.text : CHOIR_TRY(read_stdin());
  const std::vector<TokenPiece> tokens = CHOIR_TRY(tokenize_with(path, text));
  if (options.json) {
    Json pieces = Json::array();
    for (const TokenPiece& token : tokens) pieces.push_back(json_of(token));
    print_json({{"model", path}, {"count", tokens.size()}, {"tokens", std::move(pieces)}});
  } else {
    print_tokens(tokens, options);
  }
  return kExitOk;
}

}  // namespace

void add_tokenize(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command =
      add_command(root, "tokenize", "Show the tokens of a text in a model's vocabulary",
                  "  choir tokenize smollm2-135m \"Several voices, one choir\"\n"
                  "  choir tokenize smollm2-135m --count < book.txt\n"
                  "  choir tokenize smollm2-135m \"Hello\" --ids");
  add_value(*command, "MODEL", options->model, "", "Name or GGUF file")->required();
  CLI::Option* text =
      add_value(*command, "TEXT", options->text, "", "The text; without it, standard input");
  command->add_flag("--ids", options->ids, "Print only the ids, on one line");
  command->add_flag("--count", options->count, "Print only how many there are");
  add_json(*command, options->json);
  command->callback([options, text, &chosen] {
    options->has_text = text->count() > 0;
    chosen = [options] { return tokenize(*options); };
  });
}

}  // namespace choir::app

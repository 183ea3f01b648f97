// The command line: which commands there are, and what the program ends with.
#include <algorithm>
#include <cstring>
#include <exception>

#include "command.h"
#include "exit_code.h"
#include "interrupt.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr auto kExamples =
    "Examples:\n"
    "  choir pull smollm2-135m                      fetch a small model\n"
    "  choir run smollm2-135m \"What is a choir?\"    ask it\n"
    "  choir parallel --model a.gguf --model b.gguf  several models at once\n"
    "\n'choir COMMAND --help' tells more about a command.";

// CLI11 takes the words last first. `choir help run` is `choir run --help`.
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.resize(std::min<std::size_t>(words.size(), 1));
    words.emplace_back("--help");
  }
  std::ranges::reverse(words);
  return words;
}

int finish(const Result<int>& result) {
  if (output_error() != 0) {
    complain(std::string("cannot write to standard output: ") + std::strerror(output_error()));
    return kExitFailed;
  }
  if (result) return *result;
  if (interrupted() && is_terminal(Stream::kErr)) note("\n");  // the terminal wrote "^C" there
  complain(result.error().message);
  return exit_code(result.error().code);
}

int run_command_line(int argc, char** argv) {
  CLI::App root("Choir runs several language models at once on one machine.", "choir");
  Run chosen;
  set_up(root);
  root.footer(kExamples);
  root.set_version_flag("--version", version_line(), "Print the version");
  for (const auto add : {add_run, add_parallel, add_serve, add_daemon, add_dashboard, add_top,
                         add_key_command, add_config, add_models, add_pull, add_show, add_tokenize,
                         add_bench, add_tune, add_doctor, add_api, add_version})
    add(root, chosen);
  if (argc < 2) {
    note(root.help());
    return kExitUsage;
  }
  try {
    root.parse(words_of(argc, argv));
  } catch (const CLI::CallForHelp&) {
    print(root.help());
    return finish(kExitOk);
  } catch (const CLI::CallForVersion&) {
    print(version_line() + "\n");
    return finish(kExitOk);
  } catch (const CLI::ParseError& error) {
    return usage_error(root, error);
  }
  return finish(chosen());
}

}  // namespace
}  // namespace choir::app

int main(int argc, char** argv) {
  choir::app::install_signals();
  try {
    return choir::app::run_command_line(argc, argv);
  } catch (const std::exception& error) {
    choir::app::complain(std::string("a bug or no memory: ") + error.what());
    return choir::app::kExitFailed;
  }
}

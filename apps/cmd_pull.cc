// choir pull: fetches a model into the models folder.
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/catalog.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "interrupt.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct PullFlags {
  std::string source;
  std::string sha256;
  std::string name;
  bool json = false;
};

constexpr std::size_t kBarWidth = 30;
constexpr int kPlainStepPercent = 10;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kPlainEvery{5};  // where the total is not known

// On a terminal one line redrawn; else a line for each step and each tenth.
class Bar {
 public:
  void show(const PullProgress& progress) {
    if (progress.step == "done") return;  // the path says it
    const auto now = std::chrono::steady_clock::now();
    const bool new_step = progress.step != step_;
    const int percent = percent_of(progress);
    const bool terminal = can_redraw(Stream::kErr);
    const bool due = terminal ? now - shown_ >= kRedraw
                              : percent >= percent_ + kPlainStepPercent ||
                                    (percent < 0 && now - shown_ >= kPlainEvery);
    const bool whole = progress.bytes_total > 0 && progress.bytes_done >= progress.bytes_total;
    if (!new_step && !due && !(terminal && whole)) return;
    if (new_step && terminal) lines_ = {};  // the finished step keeps its line
    step_ = progress.step;
    shown_ = now;
    percent_ = new_step && !terminal ? percent - percent % kPlainStepPercent : percent;
    terminal ? lines_.show({text(progress, percent, true)})
             : note(text(progress, percent, false) + "\n");
  }

 private:
  static int percent_of(const PullProgress& progress) {
    if (progress.bytes_total == 0) return -1;
    return static_cast<int>(100.0 * static_cast<double>(progress.bytes_done) /
                            static_cast<double>(progress.bytes_total));
  }
  static std::string text(const PullProgress& progress, int percent, bool with_bar) {
    std::string out =
        progress.step + std::string(progress.step.size() < 9 ? 9 - progress.step.size() : 0, ' ');
    if (percent >= 0 && with_bar) {
      const std::size_t full =
          std::min(kBarWidth, kBarWidth * static_cast<std::size_t>(percent) / 100);
      out += "[" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "] ";
    }
    if (percent >= 0) out += std::to_string(percent) + " %  ";
    out += bytes_text(progress.bytes_done);
    if (progress.bytes_total > 0) out += " of " + bytes_text(progress.bytes_total);
    return out;
  }

  LiveLines lines_;
  std::string step_;
  int percent_ = -1;
  std::chrono::steady_clock::time_point shown_;
};

std::string license_of(const std::string& source) {
  const auto entry = std::ranges::find(catalog(), source, &CatalogEntry::name);
  return entry == catalog().end() ? "" : entry->license;
}

void announce(const std::string& source) {
  const auto entry = std::ranges::find(catalog(), source, &CatalogEntry::name);
  if (entry == catalog().end()) {
    note("licence: not known here; see where it comes from\n");
    return;
  }
  note(entry->name + ": " + entry->description + ", " + bytes_text(entry->bytes) + "\n");
  note("licence: " + entry->license + "\n");
}

bool is_source(const std::string& source) {
  return source.starts_with("file:") || source.starts_with("https:") ||
         std::ranges::count(catalog(), source, &CatalogEntry::name) > 0;
}

Result<int> pull_model(const PullFlags& options) {
  if (is_source(options.source)) announce(options.source);
  Bar bar;
  PullOptions pull_options;
  pull_options.sha256 = options.sha256;
  pull_options.name = options.name;
  pull_options.progress = [&](const PullProgress& progress) { bar.show(progress); };
  pull_options.cancel = &interrupt_flag();
  const Graceful until_fetched;
  const std::string path = CHOIR_TRY(pull(options.source, pull_options));
  if (options.json) {
    print_json(
        {{"source", options.source}, {"path", path}, {"license", license_of(options.source)}});
  } else {
    print(path + "\n");
  }
  return kExitOk;
}

}  // namespace

void add_pull(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<PullFlags>();
  CLI::App* command =
      add_command(root, "pull", "Fetch a model into the models folder",
                  "  choir pull smollm2-135m\n"
                  "  choir pull https://example.org/model.gguf --sha256 3f5a… --name mine.gguf\n"
                  "  choir pull file:/media/usb/model.gguf\n"
                  "Prints the path of the file. An interrupted fetch goes on where it stopped, if "
                  "the source can.");
  add_value(*command, "SOURCE", options->source, "",
            "A name from 'choir models', https://… or file:PATH")
      ->required();
  add_value(*command, "--sha256", options->sha256, "HEX",
            "What the file must have; else nothing is kept");
  add_value(*command, "--name", options->name, "FILE", "Name to store it under");
  add_json(*command, options->json);
  command->callback([options, &chosen] { chosen = [options] { return pull_model(*options); }; });
}

}  // namespace choir::app

// choir doctor: what this process may use of the machine, and what is wrong with it.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "choir/catalog.h"
#include "choir/file_verdicts.h"
#include "choir/machine.h"
#include "choir/text.h"
#include "choir/tuning.h"
#include "command.h"
#include "exit_code.h"
#include "json.h"
#include "options.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::size_t kShownCharacters = 300;  // a path and a reason

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out.empty() ? "none of those that matter" : out;
}

std::string cores_text(const Machine& m) {
  std::string out = std::to_string(m.cores) + " of " + std::to_string(m.cores_present) +
                    " (affinity allows " + std::to_string(m.cpus_allowed.size());
  if (m.cgroup_cores > 0) out += ", the cgroup " + fixed(m.cgroup_cores, 1);
  return out + ")";
}

std::string memory_text(const Machine& m) {
  std::string out =
      bytes_text(m.memory_bytes) + ", " + bytes_text(m.memory_available) + " available";
  if (m.cgroup_memory_limit > 0)
    out += "; the cgroup allows " + bytes_text(m.cgroup_memory_limit) + ", " +
           bytes_text(m.cgroup_memory_used) + " used";
  return out;
}

std::string mark(Advice::Level level) {
  switch (level) {
    case Advice::Level::kOk:
      return styled(Stream::kOut, Style::kGreen, "ok      ");
    case Advice::Level::kNote:
      return styled(Stream::kOut, Style::kYellow, "note    ");
    case Advice::Level::kProblem:
      return styled(Stream::kOut, Style::kRed, "problem ");
  }
  return "";
}

std::string lanes_text(const Machine& m, const FoundTuning& tuning) {
  if (tuning.state == FoundTuning::State::kUsed)
    return "up to " + std::to_string(tuning.tuning.lanes_max) + ", as 'choir tune' found";
  return "up to " + std::to_string(m.cores) + ", one for each core";
}

std::string_view word_of(FoundTuning::State state) {
  switch (state) {
    case FoundTuning::State::kNone:
      return "none";
    case FoundTuning::State::kUsed:
      return "used";
    case FoundTuning::State::kElsewhere:
      return "elsewhere";
    case FoundTuning::State::kBroken:
      return "broken";
  }
  return "";
}

Json tuning_json(const Machine& m, const FoundTuning& tuning) {
  const bool used = tuning.state == FoundTuning::State::kUsed;
  return {{"state", word_of(tuning.state)},
          {"path", tuning_path()},
          {"lanes_max", used ? tuning.tuning.lanes_max : m.cores}};
}

std::optional<Advice> advice_on(const FoundTuning& tuning) {
  if (tuning.why.empty()) return std::nullopt;
  return Advice{Advice::Level::kNote, tuning.why + ", so it is ignored",
                "'choir tune' measures this machine, 'choir tune --forget' removes it"};
}

Advice advice_on(const std::vector<FileVerdict>& files) {
  const auto refused = static_cast<std::size_t>(
      std::ranges::count_if(files, [](const FileVerdict& file) { return !file.why.empty(); }));
  const std::string tried = count_of(files.size(), "model file") + " tried";
  if (refused == 0) return {Advice::Level::kOk, tried + ", none refused", ""};
  return {Advice::Level::kNote, tried + ", " + std::to_string(refused) + " refused",
          "'choir doctor --files' says why, 'choir doctor --forget-files' has them tried again"};
}

std::vector<Advice> all_advice(const Machine& machine, const Version& all,
                               const FoundTuning& tuning) {
  std::vector<Advice> advice = diagnose(machine, all);
  const auto models = local_models();
  if (!models) {
    advice.push_back({Advice::Level::kProblem, models.error().message,
                      "make the folder readable, or name another one in CHOIR_MODELS"});
  } else if (models->empty()) {
    advice.push_back(
        {Advice::Level::kNote, "there is no model in " + models_folder(),
         "fetch one: 'choir models' lists what there is, 'choir pull NAME' fetches it"});
  } else {
    advice.push_back(
        {Advice::Level::kOk, count_of(models->size(), "model") + " in " + models_folder(), ""});
  }
  if (const auto line = advice_on(tuning)) advice.push_back(*line);
  advice.push_back(advice_on(file_verdicts()));
  return advice;
}

void print_report(const Machine& machine, const Version& all, const FoundTuning& tuning,
                  const std::vector<Advice>& advice) {
  print(table({{"choir", all.choir},
               {"engine", all.engine},
               {"built for", all.engine_features},
               {"kernels", all.kernels},
               {"compiler", all.compiler},
               {"cpu", machine.cpu},
               {"features", joined(machine.cpu_features)},
               {"cores", cores_text(machine)},
               {"lanes", lanes_text(machine, tuning)},
               {"memory", memory_text(machine)},
               {"models", models_folder()}},
              "ll"));
  print("\n");
  for (const Advice& line : advice) {
    print(mark(line.level) + line.what + "\n");
    if (!line.remedy.empty()) print("        " + line.remedy + "\n");
  }
}

Json file_json(const FileVerdict& file) {
  return {
      {"path", file.path},       {"bytes", file.bytes},          {"fingerprint", file.fingerprint},
      {"kv_type", file.kv_type}, {"refused", !file.why.empty()}, {"why", file.why}};
}

// The model files that were tried, and what was found.
Result<int> show_files(bool json) {
  const std::vector<FileVerdict> files = file_verdicts();
  if (json) {
    Json list = Json::array();
    for (const FileVerdict& file : files) list.push_back(file_json(file));
    print_json({{"files", std::move(list)}});
    return kExitOk;
  }
  if (files.empty()) print("No model file was tried by this engine and these kernels.\n");
  for (const FileVerdict& file : files)
    print(mark(file.why.empty() ? Advice::Level::kOk : Advice::Level::kProblem) +
          printable_line(
              file.why.empty() ? file.path + " (" + bytes_text(file.bytes) + ")" : file.why,
              kShownCharacters) +
          "\n");
  return kExitOk;
}

Result<int> forget_files(bool json) {
  const auto count = forget_file_verdicts();
  if (!count) return tl::unexpected(count.error());
  if (json)
    print_json({{"forgotten", *count}});
  else
    print(count_of(*count, "verdict") + " on model files forgotten\n");
  return kExitOk;
}

Result<int> doctor(bool json) {
  const Machine machine = read_machine();
  const Version all = version();
  const FoundTuning tuning = find_tuning(machine, all);
  const std::vector<Advice> advice = all_advice(machine, all, tuning);
  if (json) {
    Json lines = Json::array();
    for (const Advice& line : advice) lines.push_back(json_of(line));
    print_json({{"version", json_of(all)},
                {"machine", json_of(machine)},
                {"tuning", tuning_json(machine, tuning)},
                {"models_folder", models_folder()},
                {"advice", std::move(lines)}});
  } else {
    print_report(machine, all, tuning, advice);
  }
  const bool problem = std::ranges::count(advice, Advice::Level::kProblem, &Advice::level) > 0;
  return problem ? kExitFailed : kExitOk;
}

}  // namespace

void add_doctor(CLI::App& root, Run& chosen) {
  struct Options {
    bool json = false;
    bool files = false;
    bool forget = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      add_command(root, "doctor", "Show what Choir may use of this machine, and what is wrong",
                  "  choir doctor\n"
                  "  choir doctor --files\n"
                  "  choir doctor --json\n"
                  "Ends with 1 when there is a problem.");
  command->add_flag("--files", options->files,
                    "The model files that were tried, and what was found");
  command->add_flag("--forget-files", options->forget,
                    "Remove what was found: each file is tried again when next asked for");
  add_json(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options]() -> Result<int> {
      if (options->files && options->forget)
        return usage_error("--files and --forget-files exclude each other; take one");
      if (options->forget) return forget_files(options->json);
      return options->files ? show_files(options->json) : doctor(options->json);
    };
  });
}

}  // namespace choir::app

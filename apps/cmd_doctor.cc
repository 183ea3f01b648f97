// choir doctor: what this process may use of the machine, and what is wrong with it.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "choir/catalog.h"
#include "choir/machine.h"
#include "choir/text.h"
#include "choir/tuning.h"
#include "command.h"
#include "exit_code.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

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
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      add_command(root, "doctor", "Show what Choir may use of this machine, and what is wrong",
                  "  choir doctor\n"
                  "  choir doctor --json\n"
                  "Ends with 1 when there is a problem.");
  add_json(*command, *json);
  command->callback([json, &chosen] { chosen = [json] { return doctor(*json); }; });
}

}  // namespace choir::app

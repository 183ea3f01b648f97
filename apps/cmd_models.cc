// choir models: what is on disk, and what can be fetched.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/catalog.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

bool is_fetched(const CatalogEntry& entry, const std::vector<LocalModel>& local) {
  return std::ranges::count(local, entry.name, &LocalModel::name) > 0;
}

void print_as_json(const std::vector<LocalModel>& local) {
  Json here = Json::array();
  for (const LocalModel& model : local)
    here.push_back({{"name", model.name}, {"path", model.path}, {"bytes", model.bytes}});
  Json known = Json::array();
  for (const CatalogEntry& entry : catalog())
    known.push_back({{"name", entry.name},
                     {"description", entry.description},
                     {"license", entry.license},
                     {"bytes", entry.bytes},
                     {"sha256", entry.sha256},
                     {"fetched", is_fetched(entry, local)}});
  print_json(
      {{"folder", models_folder()}, {"local", std::move(here)}, {"catalog", std::move(known)}});
}

void print_tables(const std::vector<LocalModel>& local) {
  print(styled(Stream::kOut, Style::kBold, "On disk, in " + models_folder()) + "\n");
  std::vector<std::vector<std::string>> rows;
  rows.reserve(local.size());
  for (const LocalModel& model : local)
    rows.push_back({"  " + printable_line(model.name, 60), bytes_text(model.bytes)});
  print(rows.empty() ? "  none yet\n" : table(rows, "lr"));

  rows.clear();
  for (const CatalogEntry& entry : catalog())
    if (!is_fetched(entry, local))
      rows.push_back(
          {"  " + entry.name, bytes_text(entry.bytes), entry.description, entry.license});
  print("\n" + styled(Stream::kOut, Style::kBold, "Can be fetched with 'choir pull NAME'") + "\n");
  print(rows.empty() ? "  all of them are here\n" : table(rows, "lrll"));
}

Result<int> models(bool json) {
  const std::vector<LocalModel> local = CHOIR_TRY(local_models());
  json ? print_as_json(local) : print_tables(local);
  return kExitOk;
}

}  // namespace

void add_models(CLI::App& root, Run& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      add_command(root, "models", "List the models on disk and those that can be fetched",
                  "  choir models\n"
                  "  CHOIR_MODELS=/data/gguf choir models --json");
  add_json(*command, *json);
  command->callback([json, &chosen] { chosen = [json] { return models(*json); }; });
}

}  // namespace choir::app

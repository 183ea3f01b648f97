#include <strings.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "choir/catalog.h"
#include "choir/text.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

bool same(const std::string& a, const std::string& b) {
  return strcasecmp(a.c_str(), b.c_str()) == 0;
}

std::string stem_of(const std::string& path) { return fs::path(path).stem().string(); }

std::string without_gguf(const std::string& name) {
  constexpr std::size_t kLetters = 5;  // ".gguf"
  if (name.size() <= kLetters || !same(name.substr(name.size() - kLetters), ".gguf")) return name;
  return name.substr(0, name.size() - kLetters);
}

const LocalModel* find_local(const std::vector<LocalModel>& models, const std::string& wanted) {
  const auto exact = std::ranges::find_if(
      models, [&](const LocalModel& m) { return m.name == wanted || stem_of(m.path) == wanted; });
  if (exact != models.end()) return &*exact;
  const auto loose = std::ranges::find_if(models, [&](const LocalModel& m) {
    return same(m.name, wanted) || same(stem_of(m.path), wanted);
  });
  return loose != models.end() ? &*loose : nullptr;
}

const CatalogEntry* find_entry(const std::string& wanted) {
  const auto found = std::ranges::find_if(catalog(), [&](const CatalogEntry& e) {
    return same(e.name, wanted) || same(stem_of(e.file), wanted);
  });
  return found != catalog().end() ? &*found : nullptr;
}

std::string not_found(const std::string& name, const std::string& wanted,
                      const std::vector<LocalModel>& models) {
  const bool path = name.find('/') != std::string::npos;
  const std::string what = path ? "no file '" + name + "'" : "no model '" + name + "'";
  std::vector<std::string> known;
  known.reserve(models.size() + catalog().size());
  for (const LocalModel& model : models) known.push_back(model.name);
  for (const CatalogEntry& entry : catalog()) known.push_back(entry.name);
  const auto near = nearest(path ? stem_of(name) : wanted, known);
  if (!near) return what + ": `choir models` lists those on disk and those to fetch";
  std::string meant = what + ", did you mean '" + *near + "'?";
  if (find_local(models, *near) != nullptr) return meant;
  return meant + " Fetch it with `choir pull " + *near + "`";
}

}  // namespace

Result<std::string> resolve_model(std::string_view name) {
  const std::string text(name);
  if (text.empty())
    return fail(Code::kInvalidArgument, "the model's name is empty: `choir models` lists them");
  std::error_code ignored;
  if (fs::is_regular_file(text, ignored)) return text;

  const std::vector<LocalModel> models = CHOIR_TRY(local_models());
  const std::string wanted = without_gguf(text);
  if (const LocalModel* local = find_local(models, wanted)) return local->path;
  const CatalogEntry* entry = find_entry(wanted);
  if (entry == nullptr) return fail(Code::kNotFound, not_found(text, wanted, models));
  // Kept under its file's name, which is what a catalogue name stands for on disk.
  if (const LocalModel* local = find_local(models, stem_of(entry->file))) return local->path;
  return fail(Code::kNotFound, "model '" + entry->name +
                                   "' is not on this machine yet: run `choir pull " + entry->name +
                                   "` (" + bytes_text(entry->bytes) + ")");
}

}  // namespace choir

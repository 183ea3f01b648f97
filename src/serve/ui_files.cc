#include "serve/ui_files.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "choir/text.h"

namespace choir::serve {
namespace {

// Nullopt: there is none that can be read.
std::optional<std::string> content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return std::nullopt;
  return bytes;
}

Error unreadable(const std::string& path) {
  return {Code::kUnavailable, "the dashboard's file '" + path + "' cannot be read"};
}

}  // namespace

bool has_ui(const UiConfig& config) {
  return !config.disabled && (!config.folder.empty() || !embedded_ui().empty());
}

Result<std::vector<ManifestRow>> read_manifest(std::string_view text) {
  std::vector<ManifestRow> rows;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t first = line.find('\t');
    const std::size_t last = line.rfind('\t');
    const std::string_view kind = first == last ? "" : line.substr(last + 1);
    if ((kind != "hashed" && kind != "plain") || first == 0)
      return fail(Code::kInvalidArgument,
                  "line " + std::to_string(number) + " of the manifest is '" +
                      printable_line(line, 80) +
                      "', not PATH, CONTENT-TYPE, and hashed or plain, with tabs between");
    rows.push_back({std::string(line.substr(0, first)),
                    std::string(line.substr(first + 1, last - first - 1)), kind == "hashed"});
  }
  return rows;
}

Result<std::optional<FolderFile>> file_of_folder(const std::string& folder, std::string_view path) {
  const auto manifest = content_of(folder + "/manifest");
  if (!manifest) return tl::unexpected(unreadable(folder + "/manifest"));
  for (ManifestRow& row : CHOIR_TRY(read_manifest(*manifest))) {
    if (row.path != path) continue;
    auto bytes = content_of(folder + "/" + row.path);
    if (!bytes) return tl::unexpected(unreadable(folder + "/" + row.path));
    auto gzip = content_of(folder + "/" + row.path + ".gz");
    return FolderFile{std::move(row), std::move(*bytes), std::move(gzip).value_or("")};
  }
  return std::nullopt;
}

}  // namespace choir::serve

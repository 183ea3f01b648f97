// The files of the dashboard: those in the program, or those of a folder.
//
// embedded_ui() is written by cmake/ChoirDashboard.cmake from web/dist. Values; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"

namespace choir::serve {

struct UiConfig {
  bool disabled = false;    // there is no dashboard
  std::string folder = {};  // with a `manifest`; empty: the files in the program
};

struct UiFile {
  std::string_view path;  // "index.html"
  std::string_view type;  // "text/html; charset=utf-8"
  bool hashed = false;    // its name changes with its bytes
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed; empty: only as it is
};

// None: the program was built without a dashboard. Lives as long as the process.
std::span<const UiFile> embedded_ui();

// Whether there is something to show. Does not look into the folder.
bool has_ui(const UiConfig& config);

struct ManifestRow {
  std::string path;
  std::string type;
  bool hashed = false;
  bool operator==(const ManifestRow&) const = default;
};
// The lines PATH, CONTENT-TYPE, and `hashed` or `plain`, with tabs between. kInvalidArgument: a
// line is another one; the message has its number. Pure.
Result<std::vector<ManifestRow>> read_manifest(std::string_view text);

// A file of a folder, with its bytes.
struct FolderFile {
  ManifestRow row;
  std::string bytes;
  std::string gzip;
};
// The file that the folder's manifest has under this path; nullopt: it has none. kUnavailable: it
// cannot be read. Blocks for the disk.
Result<std::optional<FolderFile>> file_of_folder(const std::string& folder, std::string_view path);

}  // namespace choir::serve

#include "runtime/admit_beside.h"

#include "choir/text.h"
#include "runtime/executor.h"

namespace choir {
namespace {

// "; in memory are 'a' (1.2 GB, pinned), 'b' (300 MB)": those that would have to leave for `name`.
// They are pinned or have work, since others would have left. Empty: there are none.
std::string held_text(const std::vector<ExecutorRow>& rows, const std::string& name) {
  constexpr std::size_t kShown = 8;
  std::string text;
  std::size_t count = 0;
  for (const ExecutorRow& row : rows) {
    if (!row.executor || row.config.name == name || ++count > kShown) continue;
    text += (text.empty() ? "; in memory are '" : ", '") + row.config.name + "' (" +
            bytes_text(row.executor->bytes().total()) + (row.config.pinned ? ", pinned)" : ")");
  }
  if (count > kShown) text += " and " + std::to_string(count - kShown) + " others";
  return text;
}

}  // namespace

Status admit_beside(const std::vector<ExecutorRow>& rows, const std::string& name,
                    const ExecutorBytes& need, const MemoryView& memory) {
  Status fits = admit(name, need, memory);
  if (!fits) fits.error().message += held_text(rows, name);
  return fits;
}

Status admit_resize(const std::vector<ExecutorRow>& rows, const std::string& name,
                    const ExecutorBytes& need, const MemoryView& memory) {
  Status fits = admit_beside(rows, name, need, memory);
  if (!fits)
    fits.error().message +=
        "; a resize needs the new memory beside the old one until all has moved";
  return fits;
}

}  // namespace choir

#include "serve/key_reload.h"

#include <algorithm>

namespace choir::serve {

Result<Keys> keys_again(const std::string& file, const Keys& before, bool needed) {
  const std::string path = file.empty() ? default_keys_file() : file;
  auto keys = Keys::read(path);
  if (!keys && keys.error().code == Code::kNotFound && file.empty() && before.empty())
    return Keys();
  if (keys && keys->empty() && needed)
    return fail(Code::kInvalidArgument,
                "'" + path + "' has no keys, and others than this machine reach the daemon");
  return keys;
}

std::vector<std::string> removed_keys(const Keys& before, const Keys& now) {
  std::vector<std::string> names;
  for (const Key& key : before.all()) {
    const bool stays = std::ranges::any_of(now.all(), [&](const Key& other) {
      return other.client.key == key.client.key && other.sha256 == key.sha256;
    });
    if (!stays) names.push_back(key.client.key);
  }
  return names;
}

}  // namespace choir::serve

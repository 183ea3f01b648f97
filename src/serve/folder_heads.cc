#include "serve/folder_heads.h"

#include <utility>

namespace choir::serve {

std::shared_ptr<const ModelInfo> FolderHeads::of(const File& file) const {
  return heads_.with([&](const auto& heads) -> std::shared_ptr<const ModelInfo> {
    const auto found = heads.find(file.path);
    return found == heads.end() || found->second.written != file.written ? nullptr
                                                                         : found->second.info;
  });
}

std::vector<FolderHeads::File> FolderHeads::claim(const std::vector<File>& files) {
  return heads_.with([&](auto& heads) {
    std::vector<File> fresh;
    for (const File& file : files) {
      const auto [place, is_new] = heads.try_emplace(file.path);
      if (!is_new && place->second.written == file.written) continue;
      place->second = {file.written, nullptr};
      fresh.push_back(file);
    }
    return fresh;
  });
}

void FolderHeads::leave(const std::vector<File>& files) {
  heads_.with([&](auto& heads) {
    for (const File& file : files) heads.erase(file.path);
  });
}

void FolderHeads::read(const std::vector<File>& files) {
  for (const File& file : files) {
    auto info = inspect_model(file.path);
    if (!info) continue;  // a request for it is told why
    auto shared = std::make_shared<const ModelInfo>(*std::move(info));
    heads_.with([&](auto& heads) { heads[file.path] = {file.written, std::move(shared)}; });
  }
}

}  // namespace choir::serve

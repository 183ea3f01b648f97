// What the heads of the models folder's files say, of files that nobody has asked for yet: so that
// a list of models can tell how long a text may be and what a model is for. Each file is read once,
// and again when it was written since.
//
// Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/model_info.h"

namespace choir::serve {

class FolderHeads {
 public:
  struct File {
    std::string path;
    std::int64_t written = 0;  // seconds since 1970
  };
  // Null: it was not read, or cannot be. Does not block.
  std::shared_ptr<const ModelInfo> of(const File& file) const;
  // Those of `files` that nobody has read or is reading; they are the caller's to read. Does not
  // block.
  std::vector<File> claim(const std::vector<File>& files);
  // They were claimed and are not read. Does not block.
  void leave(const std::vector<File>& files);
  // Tenths of a second each.
  void read(const std::vector<File>& files);

 private:
  struct Head {
    std::int64_t written = 0;
    std::shared_ptr<const ModelInfo> info;
  };
  Guarded<std::map<std::string, Head>> heads_;  // by path
};

}  // namespace choir::serve

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz.h"

namespace choir::fuzz {

ScratchFolder::ScratchFolder() {
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  path_ = (memory ? std::string("/dev/shm") : std::filesystem::temp_directory_path().string()) +
          "/choir-fuzz-XXXXXX";
  expect(::mkdtemp(path_.data()) != nullptr, "there is a folder for scratch files");
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ScratchFolder::write(const char* name, std::string_view bytes) const {
  std::string file = path_ + "/" + name;
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  return file;
}

}  // namespace choir::fuzz

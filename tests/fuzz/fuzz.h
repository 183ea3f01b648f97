// What the fuzz targets share. A target is a file NAME_fuzz.cc with one function
// LLVMFuzzerTestOneInput; its corpus is the folder corpus/NAME.
//
// Built by clang with the address sanitizer it is a libFuzzer program, which makes inputs; in every
// other build replay.cc gives it the corpus, as a test.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace choir::fuzz {

// A property of the code under test, on every input.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes the first byte off; 0 at the end.
inline std::uint8_t take_byte(std::string_view& rest) {
  if (rest.empty()) return 0;
  const auto byte = static_cast<std::uint8_t>(rest.front());
  rest.remove_prefix(1);
  return byte;
}

// Takes what stands before the next separator, and the separator.
inline std::string_view take_line(std::string_view& rest, char separator = '\n') {
  const std::size_t end = rest.find(separator);
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

// With the XXH3 of all before it: no fuzzer guesses a checksum.
inline std::string sealed(std::string bytes) {
  const std::uint64_t sum = XXH3_64bits(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  return bytes;
}

// A file in a folder of this process that goes with it. On tmpfs where there is one.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  // Replaces the file of this name; returns its path.
  std::string write(const char* name, std::string_view bytes) const;

 private:
  std::string path_;
};

}  // namespace choir::fuzz

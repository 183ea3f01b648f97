// engine/file_check: the file of verdicts, which anybody may have written.
#include "engine/file_check.h"

#include "choir/machine.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Puts the name of this engine where the input says so, else nothing would be looked at.
std::string with_this_engine(std::string_view bytes) {
  constexpr std::string_view kPlace = "@ENGINE@";
  const choir::Version version = choir::version();
  std::string text(bytes);
  if (const std::size_t at = text.find(kPlace); at != std::string::npos)
    text.replace(at, kPlace.size(), version.engine + ", kernels " + version.kernels);
  return text;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const choir::fuzz::ScratchFolder folder;
  static const std::string model = folder.write("a.gguf", "GGUF" + std::string(60, '\0'));
  folder.write("checked.json", with_this_engine(choir::fuzz::text_of(data, size)));
  choir::FileCheck check(
      {.check = choir::CheckFiles::kNever, .cache_folder = folder.path(), .probe = {}});
  const auto checked = check.check(model, {}, 1U << 30U);
  choir::fuzz::expect(checked.has_value(), "no record is in the way of a file");
  return 0;
}

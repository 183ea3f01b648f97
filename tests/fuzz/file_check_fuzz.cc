// engine/file_check and engine/verdicts: the file of verdicts, which anybody may have written.
#include "engine/file_check.h"

#include "engine/verdicts.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Puts the name of this engine where the input says so, else nothing would be looked at.
std::string with_this_engine(std::string_view bytes) {
  constexpr std::string_view kPlace = "@ENGINE@";
  std::string text(bytes);
  if (const std::size_t at = text.find(kPlace); at != std::string::npos)
    text.replace(at, kPlace.size(), choir::verdict_judge());
  return text;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const choir::fuzz::ScratchFolder folder;
  static const std::string model = folder.write("a.gguf", "GGUF" + std::string(60, '\0'));
  const std::string text = with_this_engine(choir::fuzz::text_of(data, size));
  const std::string judge = choir::verdict_judge();
  const choir::Verdicts read = choir::parse_verdicts(text, judge);
  choir::fuzz::expect(choir::parse_verdicts(choir::verdicts_text(read, judge), judge) == read,
                      "what was read is written and read again");
  folder.write("checked.json", text);
  choir::FileCheck check(
      {.check = choir::CheckFiles::kNever, .cache_folder = folder.path(), .probe = {}});
  const auto checked = check.check(model, {}, 1U << 30U);
  choir::fuzz::expect(checked.has_value(), "no record is in the way of a file");
  return 0;
}

// models/http_rules: the lines of a server's answer, and addresses. The first line is a URL, the
// second what was there before.
#include "models/http_rules.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = choir::fuzz::text_of(data, size);
  const std::string url(choir::fuzz::take_line(rest));
  const std::uint64_t offset = choir::fuzz::take_byte(rest);
  const std::string validator(choir::fuzz::take_line(rest));
  (void)choir::check_url(url);
  (void)choir::shown_url(url);
  if (const auto name = choir::file_name_of_url(url))
    choir::fuzz::expect(
        !name->empty() && name->find('/') == std::string::npos && *name != "." && *name != "..",
        "the name of a file is one name");

  choir::HttpAnswer answer;
  while (!rest.empty()) choir::note_header(choir::fuzz::take_line(rest), answer);
  const auto use = choir::judge_answer(answer, offset, validator, url);
  if (use && *use == choir::BodyUse::kAppend) {
    choir::fuzz::expect(offset > 0 && answer.range_begin == offset,
                        "bytes are appended where they belong");
    choir::fuzz::expect(answer.validator().empty() || answer.validator() == validator,
                        "bytes of another file are not appended");
  }
  return 0;
}

// models/pip_log: what pip wrote becomes one line for a person.
#include "models/pip_log.h"

#include "choir/text.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const choir::Error error = choir::pip_failure(choir::fuzz::text_of(data, size), "a-package");
  choir::fuzz::expect(error.code == choir::Code::kUnavailable, "a failure is one");
  choir::fuzz::expect(error.message.size() < 400, "a reason is short");
  choir::fuzz::expect(choir::printable_line(error.message, 400) == error.message,
                      "a reason is one line that a terminal may be given");
  return 0;
}

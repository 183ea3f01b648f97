// facade/translate: the words of a request's and an executor's parameters. Lines of NAME=VALUE.
#include "facade/translate.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = choir::fuzz::text_of(data, size);
  choir::parallel::LLMExecutionRequest request;
  choir::parallel::LLMExecutionConfig config;
  while (!rest.empty()) {
    std::string_view line = choir::fuzz::take_line(rest);
    const std::string name(choir::fuzz::take_line(line, '='));
    request.parameters[name] = line;
    config.parameters[name] = line;
  }
  if (const auto read = choir::parallel::read_request(request, {}))
    choir::fuzz::expect(choir::validate(read->request.sampling).has_value() ||
                            !choir::validate(read->request.sampling).error().message.empty(),
                        "a refusal has a reason");
  (void)choir::parallel::read_settings(config);
  return 0;
}

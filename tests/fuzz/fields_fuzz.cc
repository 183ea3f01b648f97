// serve/json_in and serve/fields: the body of a request. The first byte chooses the route.
#include "serve/fields.h"

#include <array>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace choir::serve;
  std::string_view rest = choir::fuzz::text_of(data, size);
  const Routes route = std::array{kChat, kCompletion, kEmbeddings, kLlamaCompletion}.at(
      choir::fuzz::take_byte(rest) % 4);
  const auto json = parse_json(rest);
  if (!json) return 0;
  const auto asked = read_fields(route, *json);
  if (!asked) {
    choir::fuzz::expect(asked.error().status == 400 && !asked.error().message.empty(),
                        "what is wrong is said");
    (void)to_text(openai_error(asked.error()));
    return 0;
  }
  // Whatever was accepted is a value that the node can look at.
  (void)choir::validate(asked->request);
  (void)choir::validate(asked->embed);
  return 0;
}

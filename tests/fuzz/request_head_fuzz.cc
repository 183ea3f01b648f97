// serve/request_head and serve/router: the bytes of a request's head.
#include "serve/request_head.h"

#include "serve/router.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace choir::serve;
  const std::string_view bytes = choir::fuzz::text_of(data, size);
  const std::size_t end = head_bytes(bytes);
  choir::fuzz::expect(end <= bytes.size(), "a head is a part of the bytes");
  (void)check_unfinished(bytes);
  if (end == 0) return 0;
  const std::string_view head = bytes.substr(0, end);
  if (check_head(head)) return 0;
  choir::fuzz::expect(head.ends_with("\r\n\r\n"), "an accepted head ends in an empty line");
  choir::fuzz::expect(head.find('\0') == std::string_view::npos,
                      "an accepted head has no zero byte");
  const std::size_t blank = head.find(' ');
  const std::string_view target = head.substr(blank + 1, head.find(' ', blank + 1) - blank - 1);
  if (const auto path = decoded_path(target))
    choir::fuzz::expect(path->front() == '/' && path->find("/../") == std::string::npos,
                        "a path does not lead upwards");
  return 0;
}

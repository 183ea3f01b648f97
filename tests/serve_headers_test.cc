#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "serve/ignored_header.h"
#include "serve/services.h"

namespace choir::serve {
namespace {

using std::chrono::milliseconds;

HttpRequest with_deadline(const std::string& value) {
  HttpRequest request;
  request.headers = {{"x-deadline-ms", value}};
  return request;
}

TEST(Headers, ADeadlineIsThatOfTheRequest) {
  Asked asked;
  EXPECT_EQ(read_headers(asked, {}), std::nullopt);
  EXPECT_EQ(asked.request.deadline, milliseconds(0));
  EXPECT_EQ(read_headers(asked, with_deadline("3600000")), std::nullopt);
  EXPECT_EQ(asked.request.deadline, milliseconds(3600000));
  EXPECT_EQ(asked.embed.deadline, milliseconds(3600000));
  EXPECT_EQ(read_headers(asked, with_deadline("1")), std::nullopt);
  EXPECT_EQ(asked.request.deadline, milliseconds(3600000)) << "a job's own goes before it";
}

TEST(Headers, WhatIsIgnoredIsNamedAsFarAsThereIsRoom) {
  const std::string some(63, 'a');
  EXPECT_EQ(ignored_header(std::vector<std::string>{}), std::nullopt);
  EXPECT_EQ(ignored_header(std::vector<std::string>{"temp", "a,b"})->value, "temp, a%2Cb");
  EXPECT_EQ(ignored_header(std::vector<std::string>{std::string(5000, 'x')})->value,
            std::string(64, 'x') + "...");
  const std::string many = ignored_header(std::vector<std::string>(1000, some))->value;
  EXPECT_LT(many.size(), 600U);
  EXPECT_TRUE(many.ends_with(some + ", ...")) << many;
}

TEST(Headers, ADeadlineThatIsWrongIsRefused) {
  for (const char* wrong : {"0", "-5", "3600001", "1.5", "1s", "abc", "99999999999999999999"}) {
    Asked asked;
    const auto error = read_headers(asked, with_deadline(wrong));
    ASSERT_TRUE(error) << wrong;
    EXPECT_EQ(error->status, 400);
    EXPECT_EQ(error->param, "x-deadline-ms");
    EXPECT_NE(error->message.find(wrong), std::string::npos) << error->message;
    EXPECT_NE(error->message.find("from 1 to 3600000"), std::string::npos) << error->message;
  }
}

}  // namespace
}  // namespace choir::serve

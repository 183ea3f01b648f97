#include "serve/query.h"

#include <gtest/gtest.h>

#include <string>

namespace choir::serve {
namespace {

TEST(Query, ValuesAreDecoded) {
  EXPECT_EQ(query_value("model=a%20b%2F&x=1", "model"), "a b/");
  EXPECT_EQ(query_value("x=1&model=a+b", "model"), "a b");
  EXPECT_EQ(query_value("models=a&model", "model"), "");
  for (const char* wrong : {"", "&&", "model=%2", "model=%zz", "mode=l"})
    EXPECT_EQ(query_value(wrong, "model"), "") << wrong;
}

TEST(Query, NumbersAreWholeAndWithinTheirBounds) {
  const auto number = [](const std::string& query) {
    const auto read = number_in_query(query, "n", {1, 900}, 60);
    return read ? std::to_string(*read) : read.error().message;
  };
  EXPECT_EQ(number("n=1"), "1");
  EXPECT_EQ(number("x=2&n=900"), "900");
  EXPECT_EQ(number(""), "60");
  EXPECT_EQ(number("n="), "60");
  EXPECT_EQ(number("n=901"), "'n' is '901'; it takes a whole number from 1 to 900");
  for (const char* wrong : {"0", "-1", "1.5", "1e2", "a", "7a", "+7", "99999999999999999999"})
    EXPECT_EQ(number(std::string("n=") + wrong).rfind("'n' is ", 0), 0U) << wrong;
}

}  // namespace
}  // namespace choir::serve

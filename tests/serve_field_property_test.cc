// Any value for any field: serve/fields gives a value or an error that names the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include "serve/fields.h"
#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr int kValues = 200;  // for each name of a field and each route
constexpr std::uint64_t kSeed = 20'240'611;

class Random {
 public:
  std::int64_t whole(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  double number(double least, double most) {
    return std::uniform_real_distribution<double>(least, most)(engine_);
  }
  std::string text(std::int64_t bytes) {
    std::string out;
    for (std::int64_t i = 0; i < bytes; ++i) out += static_cast<char>(whole(0, 127));
    return out;
  }
  // JSON of every type, with values at which programs go wrong.
  Json json(int depth = 3) {
    static constexpr double kEdges[] = {0, 1, -1, 0.5, 1e300, -1e300, 2147483647, 2147483648};
    switch (whole(0, depth > 0 ? 8 : 6)) {
      case 0:
        return nullptr;
      case 1:
        return whole(0, 1) == 0;
      case 2:
        return whole(INT64_MIN, INT64_MAX);
      case 3:
        return whole(-10, 300);
      case 4:
        return kEdges[whole(0, std::ssize(kEdges) - 1)];
      case 5:
        return text(whole(0, 12));
      case 6:
        return word();
      case 7: {
        Json list = Json::array();
        for (std::int64_t i = whole(0, 4); i > 0; --i) list.push_back(json(depth - 1));
        return list;
      }
      default: {
        Json object = Json::object();
        for (std::int64_t i = whole(0, 4); i > 0; --i) object[word()] = json(depth - 1);
        return object;
      }
    }
  }

 private:
  // What the readers of fields look for.
  std::string word() {
    static constexpr const char* kWords[] = {"",     "role", "content", "user", "type",
                                             "text", "1",    "high",    "10m",  "include_usage",
                                             "none", "auto", "float",   "-1",   "tool_calls"};
    return kWords[whole(0, std::ssize(kWords) - 1)];
  }
  std::mt19937_64 engine_{kSeed};
};

std::string_view needed_field(Routes route) {
  return route == kChat ? "messages" : route == kEmbeddings ? "input" : "prompt";
}

Json body_of(Routes route) {
  if (route == kChat) return {{"messages", {{{"role", "user"}, {"content", "a"}}}}};
  return {{std::string(needed_field(route)), "a"}};
}

// Calls `look` for each route, field and name.
template <class Look>
void for_all(const Look& look) {
  for (const Routes route : {kChat, kCompletion, kLlamaCompletion, kEmbeddings})
    for (const Field& field : fields())
      for (const std::string_view name : {field.name, field.alias})
        if ((field.routes & route) != 0 && !name.empty()) look(route, field, std::string(name));
}

ApiResult<Asked> read_with(Routes route, const std::string& name, const Json& value) {
  Json body = body_of(route);
  body[name] = value;
  return read_fields(route, body);
}

TEST(FieldProperty, AnErrorNamesTheFieldAndItsPlace) {
  Random random;
  for_all([&](Routes route, const Field&, const std::string& name) {
    for (int i = 0; i < kValues; ++i) {
      const Json value = random.json();
      const auto asked = read_with(route, name, value);
      if (asked) continue;
      const ApiError& error = asked.error();
      const std::string seen = name + ": " + to_text(value) + ": " + error.message;
      EXPECT_EQ(error.status, 400) << seen;
      EXPECT_THAT(error.param, testing::StartsWith(name)) << seen;
      EXPECT_THAT(error.pointer, testing::StartsWith("/" + name)) << seen;
      EXPECT_THAT(error.message, testing::StartsWith("'" + error.param + "' ")) << seen;
      EXPECT_FALSE(error.code.empty()) << seen;
    }
  });
}

// A value of the field's kind within its limits.
Json good_value(const Field& field, Random& random) {
  switch (field.kind) {
    case Kind::kBoolean:
      return random.whole(0, 1) == 0;
    case Kind::kInteger:
      return random.whole(static_cast<std::int64_t>(field.least),
                          static_cast<std::int64_t>(field.most));
    case Kind::kNumber:
      return random.number(field.least, field.most);
    case Kind::kText:
      return random.text(random.whole(static_cast<std::int64_t>(field.least),
                                      static_cast<std::int64_t>(field.most)));
    case Kind::kTexts:
      return Json::array({random.text(5), random.text(0)});
    default:
      return random.json();  // of fields whose kind is "any"
  }
}

TEST(FieldProperty, AValueWithinTheLimitsIsAccepted) {
  Random random;
  for_all([&](Routes route, const Field& field, const std::string& name) {
    if (field.effect == Effect::kRefused || !field.schema.empty()) return;
    if (field.name == "best_of") return;  // as many as n
    for (int i = 0; i < kValues; ++i) {
      const Json value = good_value(field, random);
      const auto asked = read_with(route, name, value);
      EXPECT_TRUE(asked) << name << ": " << to_text(value) << ": " << asked.error().message;
    }
  });
}

TEST(FieldProperty, AWholeNumberMayBeWrittenAsAFraction) {
  const auto asked = read_with(kCompletion, "top_k", 73.0);
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->request.sampling.top_k, 73);
  EXPECT_FALSE(read_with(kCompletion, "top_k", 73.5));
  EXPECT_EQ(read_with(kCompletion, "prompt", Json::array({1.0, 2.0})).has_value(), true);
}

TEST(FieldProperty, TheExamplesOfASchemaAreAccepted) {
  for_all([&](Routes route, const Field& field, const std::string& name) {
    if (field.schema.empty()) return;
    const auto schema = std::ranges::find(request_schemas(), field.schema, &Schema::name);
    ASSERT_NE(schema, request_schemas().end()) << name;
    const Json examples = Json::parse(schema->json).at("examples");
    EXPECT_FALSE(examples.empty()) << name;
    for (const Json& value : examples) {
      const auto asked = read_with(route, name, value);
      EXPECT_TRUE(asked) << name << ": " << to_text(value) << ": " << asked.error().message;
    }
  });
}

TEST(FieldProperty, OnlyTheOffValuesOfARefusedFieldAreAccepted) {
  Random random;
  for_all([&](Routes route, const Field& field, const std::string& name) {
    if (field.effect != Effect::kRefused) return;
    const Json off = field.off.empty() ? Json::array() : Json::parse(field.off);
    for (const Json& value : off)
      EXPECT_TRUE(read_with(route, name, value)) << name << ": " << to_text(value);
    for (int i = 0; i < kValues; ++i) {
      const Json value = random.json();
      const bool is_off = value.is_null() || std::ranges::find(off, value) != off.end();
      const auto asked = read_with(route, name, value);
      EXPECT_EQ(asked.has_value(), is_off) << name << ": " << to_text(value);
      if (asked) continue;
      EXPECT_EQ(asked.error().code, "unsupported_value") << name;
    }
  });
}

}  // namespace
}  // namespace choir::serve

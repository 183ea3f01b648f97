#include "serve/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

Client client(const std::string& name) {
  return {
      .key = name, .tenant = name, .weight = 2, .best = Priority::kHigh, .scopes = kInfer | kView};
}

TEST(Keys, AreFoundByWhatWasShownOnce) {
  const TempFolder folder;
  const std::string file = folder / "sub/keys.json";
  const auto alice = add_key(file, client("alice"));
  const auto bob = add_key(file, client("bob"));
  ASSERT_TRUE(alice && bob);
  EXPECT_EQ(alice->size(), std::string("sk-choir-").size() + 43);
  EXPECT_THAT(*alice, testing::StartsWith("sk-choir-"));
  const auto keys = Keys::read(file);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->client_of(*alice), client("alice"));
  EXPECT_EQ(keys->client_of(*bob), client("bob"));
  EXPECT_EQ(keys->client_of(alice->substr(1)), std::nullopt);
  EXPECT_EQ(keys->client_of(""), std::nullopt);
  EXPECT_EQ(keys->client_of(std::string(100000, 'a')), std::nullopt);
}

TEST(Keys, AreForTheirOwnerOnlyAndNotInTheFile) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  const std::string secret = add_key(file, client("alice")).value();
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  std::ifstream stream(file);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  EXPECT_THAT(text, testing::Not(HasSubstr(secret)));
  ASSERT_EQ(chmod(file.c_str(), 0640), 0);
  EXPECT_THAT(Keys::read(file).error().message, HasSubstr("chmod 600"));
}

TEST(Keys, HaveEachNameOnce) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  ASSERT_TRUE(add_key(file, client("alice")));
  EXPECT_EQ(add_key(file, client("alice")).error().code, Code::kAlreadyExists);
  EXPECT_EQ(add_key(file, client("a b")).error().code, Code::kInvalidArgument);
  EXPECT_EQ(add_key(file, client("")).error().code, Code::kInvalidArgument);
}

TEST(Keys, OfOneTenantHaveOneWeight) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  Client first = client("first");
  Client second = client("second");
  first.tenant = second.tenant = "shared";
  second.weight = 3;
  ASSERT_TRUE(add_key(file, first));
  EXPECT_EQ(add_key(file, second).error().code, Code::kInvalidArgument);
  second.weight = first.weight;
  EXPECT_TRUE(add_key(file, second));
}

TEST(Keys, AreRemovedByName) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  const std::string secret = add_key(file, client("alice")).value();
  EXPECT_THAT(remove_key(file, "alise").error().message, HasSubstr("did you mean 'alice'?"));
  ASSERT_TRUE(remove_key(file, "alice"));
  EXPECT_EQ(Keys::read(file)->client_of(secret), std::nullopt);
  EXPECT_EQ(Keys::read(folder / "nothing").error().code, Code::kNotFound);
}

TEST(Keys, OfADamagedFileAreRefusedByTheirPlace) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  const auto read = [&](const std::string& text) {
    std::ofstream(file) << text;
    chmod(file.c_str(), 0600);
    const auto keys = Keys::read(file);
    return keys ? std::string("read") : keys.error().message;
  };
  const std::string good =
      R"("name": "a", "tenant": "t", "class": "low", "sha256": ")" + std::string(64, 'a') + "\"";
  EXPECT_EQ(read(R"({"keys": [{)" + good + R"(, "scopes": ["infer"]}]})"), "read");
  EXPECT_THAT(read(""), HasSubstr("not a file of keys"));
  EXPECT_THAT(read("[]"), HasSubstr("not a file of keys"));
  EXPECT_THAT(read(R"({"keys": [1]})"), HasSubstr("keys[0]"));
  EXPECT_THAT(read(R"({"keys": [{)" + good + R"(, "scopes": ["all"]}]})"), HasSubstr("'scopes'"));
  EXPECT_THAT(read(R"({"keys": [{)" + good + "}]}"), HasSubstr("'scopes'"));
  EXPECT_THAT(read(R"({"keys": [{)" + good + R"(, "weight": 0, "scopes": []}]})"),
              HasSubstr("'weight'"));
}

}  // namespace
}  // namespace choir::serve

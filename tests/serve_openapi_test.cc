// The document of the HTTP API: the committed files are what the tables say.
#include "serve/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "serve/daemon.h"
#include "serve/fields.h"
#include "serve/json_in.h"
#include "serve/schemas.h"

namespace choir::serve {
namespace {

std::string file(const std::string& name) {
  const char* repository = std::getenv("CHOIR_REPO");
  std::ifstream in(std::string(repository == nullptr ? "." : repository) + "/" + name,
                   std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Api : public testing::Test {
 protected:
  static const ApiDocument& document() {
    static const auto& made = *new Result<ApiDocument>(Daemon::api());
    return made.value();
  }
  static const Json& openapi() {
    static const auto& json = *new Json(Json::parse(document().openapi));
    return json;
  }
};

// Not EXPECT_EQ: the texts are long, and git shows the difference.
TEST_F(Api, IsAsInTheFiles) {
  EXPECT_TRUE(file("docs/openapi.json") == document().openapi)
      << "`build/bin/choir api > docs/openapi.json` writes it anew";
  EXPECT_TRUE(file("docs/api.md") == document().markdown)
      << "`build/bin/choir api --markdown > docs/api.md` writes it anew";
  EXPECT_TRUE(file("tests/fuzz/fields.dict") == document().fuzz_dictionary)
      << "`build/bin/choir api --fuzz-dictionary > tests/fuzz/fields.dict` writes it anew";
}

void collect_references(const Json& json, std::set<std::string>& references) {
  if (json.is_object() && json.contains("$ref")) references.insert(json["$ref"].get<std::string>());
  if (json.is_structured())
    for (const Json& inside : json) collect_references(inside, references);
}

TEST_F(Api, RefersOnlyToWhatIsThere) {
  std::set<std::string> references;
  collect_references(openapi(), references);
  EXPECT_FALSE(references.empty());
  for (const std::string& reference : references)
    EXPECT_TRUE(openapi().contains(Json::json_pointer(reference.substr(1)))) << reference;
}

TEST_F(Api, HasEveryFieldOfTheTable) {
  for (const auto& [path, route] :
       {std::pair("/v1/chat/completions", kChat), std::pair("/v1/completions", kCompletion),
        std::pair("/v1/embeddings", kEmbeddings)}) {
    const Json& properties = openapi()["paths"][path]["post"]["requestBody"]["content"]
                                      ["application/json"]["schema"]["properties"];
    std::size_t names = 0;
    for (const Field& field : fields()) {
      if ((field.routes & route) == 0) continue;
      names += field.alias.empty() ? 1 : 2;
      EXPECT_TRUE(properties.contains(std::string(field.name))) << field.name;
    }
    EXPECT_EQ(properties.size(), names) << path;
  }
}

TEST_F(Api, SaysWhatEachRouteDoesAndNeeds) {
  std::set<std::string> ids;
  for (const auto& [path, methods] : openapi()["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      const std::string name = method + " " + path;
      EXPECT_NE(operation["summary"], "") << name << ": give its Route a summary";
      EXPECT_TRUE(ids.insert(operation["operationId"].get<std::string>()).second) << name;
      EXPECT_EQ(operation["security"].empty(), !operation.contains("x-choir-scope")) << name;
      EXPECT_TRUE(operation["responses"].contains("200")) << name;
      EXPECT_TRUE(operation.contains("parameters") || path.find('{') == std::string::npos) << name;
    }
  }
  EXPECT_EQ(openapi()["paths"]["/choir/v1/stop"]["post"]["x-choir-scope"], "admin");
  EXPECT_EQ(openapi()["paths"]["/health"]["get"]["security"], Json::array());
}

TEST_F(Api, HasTheLimitsOfTheTable) {
  const Json& properties = openapi()["paths"]["/v1/completions"]["post"]["requestBody"]["content"]
                                    ["application/json"]["schema"]["properties"];
  EXPECT_EQ(properties["top_k"]["type"], Json::array({"integer", "null"}));
  EXPECT_EQ(properties["top_k"]["maximum"], 2147483647);
  EXPECT_EQ(properties["n"]["maximum"], 16);
  EXPECT_EQ(properties["n"]["x-choir-class"], "acts");
  EXPECT_EQ(properties["suffix"]["x-choir-class"], "refused");
}

TEST(PathWithNames, NamesWhatTheStarStandsFor) {
  EXPECT_EQ(path_with_names("/v1/models"), "/v1/models");
  EXPECT_EQ(path_with_names("/v1/models/*"), "/v1/models/{model}");
  EXPECT_EQ(path_with_names("/choir/v1/models/*/load"), "/choir/v1/models/{model}/load");
}

TEST(Schemas, AreJsonAndHaveEachNameOnce) {
  std::set<std::string_view> names;
  for (const auto all : all_schemas())
    for (const Schema& schema : all) {
      EXPECT_TRUE(names.insert(schema.name).second) << schema.name;
      EXPECT_TRUE(Json::accept(schema.json)) << schema.name;
    }
}

}  // namespace
}  // namespace choir::serve

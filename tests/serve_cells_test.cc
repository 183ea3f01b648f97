// What the KV cells of a model hold, as GET /choir/v1/cells/NAME shows it.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "serve/own_cells.h"
#include "serve/shared_cells.h"
#include "tests/fake_served.h"

namespace choir::serve {
namespace {

ExecutorInfo model_with(std::int32_t cells, std::int32_t cached) {
  ExecutorInfo info = {};
  info.config.name = "a";
  info.config.context_tokens = 1000;
  info.running = 2;
  info.kept = 3;
  info.cells = cells;
  info.cached_cells = cached;
  return info;
}

RequestInfo of(std::uint64_t id, RequestPhase phase, std::int32_t prompt, std::int32_t done,
               std::int32_t output, const std::string& tenant = "mine") {
  RequestInfo info;
  info.id = {id};
  info.executor = "a";
  info.tenant = tenant;
  info.phase = phase;
  info.prompt_tokens = prompt;
  info.prompt_tokens_done = done;
  info.output_tokens = output;
  info.max_tokens = 50;
  return info;
}

Client client_of(const std::string& tenant, Scopes scopes) {
  Client client;
  client.tenant = tenant;
  client.scopes = scopes;
  return client;
}

const Client kAdminClient = client_of("boss", kAdmin);

struct Case {
  std::string name;
  RequestInfo request;
  std::int32_t want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class FrontOf : public testing::TestWithParam<Case> {};

TEST_P(FrontOf, IsWhatItHasComputed) { EXPECT_EQ(front_of(GetParam().request), GetParam().want); }

RequestInfo embedding() {
  RequestInfo info = of(1, RequestPhase::kPrefill, 30, 20, 0);
  info.max_tokens = 0;
  return info;
}

const Case kCases[] = {
    {"InItsPrompt", of(1, RequestPhase::kPrefill, 30, 12, 0), 12},
    {"AtItsFirstToken", of(1, RequestPhase::kDecode, 30, 30, 1), 30},
    {"TheLastTokenIsNotComputedYet", of(1, RequestPhase::kDecode, 30, 30, 8), 37},
    {"ItsPromptAgainAfterItLostItsCells", of(1, RequestPhase::kPrefill, 30, 5, 8), 5},
    {"Suspended", of(1, RequestPhase::kSuspended, 30, 30, 8), 37},
    {"TheReaderIsBehind", of(1, RequestPhase::kReaderBehind, 30, 30, 8), 37},
    {"Waiting", of(1, RequestPhase::kWaiting, 30, 0, 0), 0},
    {"Parked", of(1, RequestPhase::kParked, 30, 30, 8), 0},
    {"Ending", of(1, RequestPhase::kEnding, 30, 30, 50), 0},
    {"Loading", of(1, RequestPhase::kLoading, 30, 30, 8), 0},
    {"Embedding", embedding(), 0},
};
INSTANTIATE_TEST_SUITE_P(Phases, FrontOf, testing::ValuesIn(kCases),
                         [](const auto& row) { return row.param.name; });

TEST(CellsRow, AllCellsAreForSomething) {
  const std::vector<RequestInfo> requests = {of(1, RequestPhase::kDecode, 30, 30, 11),
                                             of(2, RequestPhase::kPrefill, 300, 100, 0)};
  const Json row = cells_row(model_with(500, 200), requests, std::nullopt, kAdminClient);
  EXPECT_EQ(row["cells"], 1000);
  EXPECT_EQ(row["running_cells"], 140);
  EXPECT_EQ(row["kept_cells"], 360);
  EXPECT_EQ(row["cached_cells"], 200);
  EXPECT_EQ(row["free_cells"], 300);
  EXPECT_EQ(row["kept_conversations"], 3);
  EXPECT_EQ(row["sequences"].dump(),
            R"([{"cells":100,"id":"2","shared_cells":0,"state":"prefill","tenant":"mine"},)"
            R"({"cells":40,"id":"1","shared_cells":0,"state":"decode","tenant":"mine"}])");
}

TEST(CellsRow, NoneIsBelowZeroWhereTheNumbersAreOfDifferentMoments) {
  const std::vector<RequestInfo> requests = {of(1, RequestPhase::kDecode, 900, 900, 50)};
  const Json row = cells_row(model_with(600, 500), requests, std::nullopt, kAdminClient);
  EXPECT_EQ(row["running_cells"], 600);
  EXPECT_EQ(row["kept_cells"], 0);
  EXPECT_EQ(row["free_cells"], 0);
}

TEST(CellsRow, ATenantSeesTheSequencesOfItsOwnAndTheSumsOfAll) {
  const std::vector<RequestInfo> requests = {of(1, RequestPhase::kDecode, 30, 30, 11),
                                             of(2, RequestPhase::kDecode, 60, 60, 1, "theirs")};
  const Json row = cells_row(model_with(100, 0), requests, std::nullopt, client_of("mine", kView));
  EXPECT_EQ(row["running_cells"], 100);
  ASSERT_EQ(row["sequences"].size(), 1U);
  EXPECT_EQ(row["sequences"][0]["id"], "1");
}

TEST(CellsRow, OtherModelsRequestsAreNotCounted) {
  RequestInfo other = of(1, RequestPhase::kDecode, 30, 30, 11);
  other.executor = "b";
  const Json row = cells_row(model_with(100, 0), std::vector{other}, std::nullopt, kAdminClient);
  EXPECT_EQ(row["running_cells"], 0);
  EXPECT_TRUE(row["sequences"].empty());
}

TEST(CellsRow, OfManySequencesTheLongestAreToldOneByOne) {
  std::vector<RequestInfo> requests;
  for (int i = 1; i <= 60; ++i) requests.push_back(of(i, RequestPhase::kPrefill, 100, i, 0));
  const Json row = cells_row(model_with(2000, 0), requests, std::nullopt, kAdminClient);
  EXPECT_EQ(row["running_cells"], 60 * 61 / 2);
  ASSERT_EQ(row["sequences"].size(), kFrontsMax);
  EXPECT_EQ(row["sequences"][0]["cells"], 60);
  EXPECT_EQ(row["sequences"][kFrontsMax - 1]["cells"], 11);
}

TEST(CellsRow, AModelThatIsNotInMemoryHasNone) {
  ExecutorInfo away = model_with(500, 200);
  away.loaded = false;
  const Json row = cells_row(away, std::vector{of(1, RequestPhase::kDecode, 30, 30, 11)},
                             std::nullopt, kAdminClient);
  EXPECT_EQ(row["state"], "unloaded");
  for (const char* name : {"cells", "running_cells", "kept_cells", "cached_cells", "free_cells",
                           "kept_conversations", "running"})
    EXPECT_EQ(row[name], 0) << name;
  EXPECT_TRUE(row["sequences"].empty());
}

// ---- which of them are shared ------------------------------------------------------------------

CellHolder holder(CellUse use, std::uint64_t request, const std::string& owner) {
  return {.use = use,
          .request = {request},
          .tenant = use == CellUse::kRunning ? owner : "",
          .reuse_scope = owner,
          .cells = 100};
}

CellSharing sharing() {
  return {.age_seconds = 0.5,
          .holders = {holder(CellUse::kRunning, 1, "mine"), holder(CellUse::kCached, 0, "mine"),
                      holder(CellUse::kKept, 0, "theirs"), holder(CellUse::kRunning, 2, "theirs"),
                      holder(CellUse::kCached, 0, "sha256:01"),
                      holder(CellUse::kCached, 0, "sha256:01")},
          .fronts = {{.cells = 40, .saved_cells = 40, .depth = 0, .holders = {0, 1}},
                     {.cells = 50, .saved_cells = 50, .depth = 0, .holders = {2, 3}},
                     {.cells = 60, .saved_cells = 60, .depth = 0, .holders = {4, 5}}}};
}

TEST(SharedCells, TheFrontsThatSaveMostComeFirst) {
  const Json row = sharing_json(sharing(), kAdminClient);
  EXPECT_EQ(row["saved_cells"], 150);
  EXPECT_EQ(row["age_seconds"], 0.5);
  EXPECT_EQ(row["fronts"].dump(),
            R"([{"cached":2,"cells":60,"depth":0,"kept":0,"running":0,"saved_cells":60,)"
            R"("tenant":null},{"cached":0,"cells":50,"depth":0,"kept":1,"running":1,)"
            R"("saved_cells":50,"tenant":"theirs"},{"cached":1,"cells":40,"depth":0,"kept":0,)"
            R"("running":1,"saved_cells":40,"tenant":"mine"}])");
}

TEST(SharedCells, ATenantSeesTheFrontsOfItsOwnAndTheSumOfAll) {
  const Json row = sharing_json(sharing(), client_of("mine", kView));
  EXPECT_EQ(row["saved_cells"], 150);
  ASSERT_EQ(row["fronts"].size(), 1U);
  EXPECT_EQ(row["fronts"][0]["tenant"], "mine");
}

TEST(SharedCells, AFrontOfManyFrontsIsCountedAndNotTold) {
  CellSharing deep = sharing();
  deep.fronts[0].depth = kSharedFrontDepthMax;
  const Json row = sharing_json(deep, kAdminClient);
  EXPECT_EQ(row["saved_cells"], 150);
  EXPECT_EQ(row["fronts"].size(), 2U);
}

TEST(SharedCells, OfManyFrontsTheOnesThatSaveMostAreTold) {
  CellSharing many = sharing();
  for (std::int32_t i = 0; i < 60; ++i)
    many.fronts.push_back(
        {.cells = 100 + i, .saved_cells = 100 + i, .depth = 0, .holders = {0, 1}});
  const Json row = sharing_json(many, kAdminClient);
  ASSERT_EQ(row["fronts"].size(), kSharedFrontsMax);
  EXPECT_EQ(row["fronts"][0]["cells"], 159);
  EXPECT_EQ(row["fronts"][kSharedFrontsMax - 1]["cells"], 110);
}

TEST(SharedCells, ARequestSharesItsLongestFront) {
  CellSharing many = sharing();
  many.fronts.push_back({.cells = 70, .saved_cells = 30, .depth = 1, .holders = {0, 1}});
  EXPECT_EQ(shared_cells_of({1}, many), 70);
  EXPECT_EQ(shared_cells_of({2}, many), 50);
  EXPECT_EQ(shared_cells_of({3}, many), 0);
  EXPECT_EQ(shared_cells_of({1}, std::nullopt), 0);
}

TEST(SharedCells, WithoutALookThereIsNothingToTell) {
  EXPECT_TRUE(sharing_json(std::nullopt, kAdminClient).is_null());
}

// ---- the route, on the fake engine --------------------------------------------------------------

Json asked(const FakeServed& served, const std::string& model, int status) {
  const auto reply = served.ask("GET", "/choir/v1/cells/" + model);
  EXPECT_TRUE(reply);
  EXPECT_EQ(reply->status, status) << reply->body;
  return Json::parse(reply->body);
}

TEST(CellsRoute, AModelThatWasNotLoadedAnswersWithZeros) {
  const FakeServed served;
  const Json row = asked(served, "writer", 200);
  EXPECT_EQ(row["state"], "unloaded");
  EXPECT_EQ(row["cells"], 0);
}

TEST(CellsRoute, AnUnknownModelIsRefusedWithTheNearestName) {
  const FakeServed served;
  EXPECT_NE(asked(served, "writr", 404)["error"]["message"].get<std::string>().find("writer"),
            std::string::npos);
}

TEST(CellsRoute, AnEndedRequestLeavesItsCellsCached) {
  FakeServed served;
  ASSERT_TRUE(served.node().run(request("writer", "once upon a time", 8)));
  const Json row = asked(served, "writer", 200);
  EXPECT_EQ(row["state"], "loaded");
  EXPECT_EQ(row["cells"], 512);
  EXPECT_EQ(row["running_cells"], 0);
  EXPECT_GT(row["cached_cells"], 0);
  EXPECT_EQ(row["free_cells"].get<int>() + row["cached_cells"].get<int>(), 512);
}

TEST(CellsRoute, TheFirstCallAsksForALookThatTheNextOnesTell) {
  FakeServed served;
  ASSERT_TRUE(served.node().run(request("writer", "once upon a time there was", 8)));
  ASSERT_TRUE(served.node().run(request("writer", "once upon a time there came", 8)));
  EXPECT_TRUE(asked(served, "writer", 200)["sharing"].is_null());
  Json sharing;
  while (sharing.is_null()) sharing = asked(served, "writer", 200)["sharing"];
  ASSERT_EQ(sharing["fronts"].size(), 1U) << sharing.dump();
  EXPECT_EQ(sharing["fronts"][0]["cached"], 2);
  EXPECT_GE(sharing["fronts"][0]["cells"], 20);
  EXPECT_EQ(sharing["saved_cells"], sharing["fronts"][0]["cells"]);
}

TEST(CellsRoute, AModelThatHasLeftMemorySharesNothing) {
  const FakeServed served;
  const Json sharing = asked(served, "writer", 200)["sharing"];
  EXPECT_EQ(sharing["saved_cells"], 0);
  EXPECT_TRUE(sharing["fronts"].empty());
}

}  // namespace
}  // namespace choir::serve

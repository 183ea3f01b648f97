// What the events of a daemon add up to.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "serve/frames.h"
#include "tests/top_views.h"

namespace choir::app::top {
namespace {

TEST(TopState, KnowsHowFarALoadIs) {
  json row = model("a", 1);
  EXPECT_EQ(two_models().models.at("gemma3-270m").load_percent, -1);
  row.update({{"state", "loading"}, {"load_progress", 0.429}});
  const State state = reduced(two_models(), "snapshot", snapshot("state", json::array({row})));
  EXPECT_EQ(state.models.at("a").load_percent, 42);
}

TEST(TopState, IsWhatTheSnapshotsTell) {
  const State state = two_models();
  ASSERT_EQ(state.models.size(), 2U);
  EXPECT_EQ(state.models.at("gemma3-270m").bytes(), 300'000'000);
  EXPECT_EQ(state.requests.at("2").why, "it needs 2,048 KV cells, and 310 are free");
  EXPECT_EQ(state.requests.at("2").ahead, 3);
  EXPECT_EQ(state.requests.at("2").expected_seconds, 130);
  EXPECT_EQ(state.requests.at("1").ahead, -1);
  EXPECT_EQ(state.node.bytes_promised, 600'000'000);
  EXPECT_EQ(state.tenant, "alice");
}

TEST(TopState, ADeltaSetsAndRemovesRows) {
  const State state = reduced(
      two_models(), "delta",
      R"({"topic":"requests","set":[{"id":"11","model":"x","state":"loading"}],"gone":["1","7"]})");
  EXPECT_EQ(state.requests.size(), 3U);
  EXPECT_EQ(state.requests.at("11").state, "loading");
  EXPECT_FALSE(state.requests.contains("1"));
  EXPECT_EQ(state.node, two_models().node);  // without `rest` the node is as it was
}

TEST(TopState, ADeltaChangesMembersOfRows) {
  const State before = two_models();
  const State state = with(
      before,
      {{"delta",
        R"({"topic":"requests","set":[],"changed":[{"id":"2","ahead":2},{"id":"77","ahead":1}],"gone":[]})"},
       {"delta",
        R"({"topic":"state","set":[],"changed":[{"name":"gemma3-270m","kv_bytes":1,"load_progress":0.5}],"gone":[]})"}});
  Request changed = before.requests.at("2");
  changed.ahead = 2;
  EXPECT_EQ(state.requests.at("2"), changed);
  EXPECT_EQ(state.requests.size(), before.requests.size()) << "of an unknown row nothing is known";
  EXPECT_EQ(state.models.at("gemma3-270m").bytes(), 270'000'001);
  EXPECT_EQ(state.models.at("gemma3-270m").load_percent, 50);
  EXPECT_EQ(state.models.at("gemma3-270m").state, "loaded");
}

TEST(TopState, ADeltaBeforeItsSnapshotChangesNothing) {
  const State hello = with({}, {{"hello", kHello}});
  EXPECT_EQ(reduced(hello, "delta", R"({"topic":"requests","set":[{"id":"1"}],"gone":[]})"), hello);
}

TEST(TopState, RowsStayUntilTheNextDaemonTellsItsOwn) {
  State state = reduced(two_models(), "turns", turns(20'000'000));
  EXPECT_EQ(state.lanes.size(), 2U);
  state = reduced(state, "hello", R"({"epoch":"2","version":"0.1.0"})");
  EXPECT_EQ(state.models.size(), 2U);
  EXPECT_TRUE(state.lanes.empty());  // their times were of the other one
  EXPECT_FALSE(state.knows_models);
  EXPECT_TRUE(reduced(state, "snapshot", snapshot("state", json::array())).models.empty());
}

TEST(TopState, TurnsThatAreToldAgainAreThereOnce) {
  const State once = reduced(two_models(), "turns", turns(20'000'000));
  const State twice = reduced(once, "turns", turns(20'000'000));
  EXPECT_EQ(twice.lanes.at(0).blocks, once.lanes.at(0).blocks);
  const State later = reduced(once, "turns", R"({"topic":"turns","now_us":40000000,"lanes":[]})");
  EXPECT_TRUE(later.lanes.at(0).blocks.empty());
}

TEST(TopState, GoesOnBehindTheLastFrame) {
  EXPECT_EQ(two_models().since(), "") << "of its snapshot no frame had a number";
  State state = reduced(two_models(), "delta", R"({"topic":"requests","set":[]})", "41");
  state = reduced(std::move(state), "ping", "{}", "");
  EXPECT_EQ(state.since(), "&since=1-41");
  State resumed = reduced(state, "hello", R"({"epoch":"1","resumed":true})", "0");
  EXPECT_EQ(resumed.since(), "&since=1-41") << "broken again before a frame";
  resumed = reduced(std::move(resumed), "delta",
                    R"({"topic":"requests","set":[{"id":"11"}],"gone":["1"]})", "42");
  EXPECT_TRUE(resumed.requests.contains("11"));
  EXPECT_TRUE(resumed.requests.contains("2"));
  EXPECT_EQ(reduced(state, "hello", R"({"epoch":"1","resumed":false})", "0").since(), "");
  EXPECT_EQ(reduced(state, "hello", R"({"epoch":"2","resumed":true})", "0").since(), "");
  EXPECT_EQ(reduced(state, "delta", "{}", "1&topics=log").since(), "&since=1-41");
}

TEST(TopState, ByeIsRemembered) { EXPECT_TRUE(reduced(two_models(), "bye", "{}").said_bye); }

TEST(TopState, WhatHasNoFormChangesNothing) {
  for (const char* const data :
       {"", "[]", "7", "{", R"({"topic":"state","rows":7})", R"({"topic":"state","rows":{}})",
        R"({"topic":7,"rows":[]})", R"({"topic":"other","rows":[]})"})
    EXPECT_EQ(reduced(two_models(), "snapshot", data), two_models()) << data;
  EXPECT_EQ(reduced(two_models(), "turns", R"({"lanes":7})"), two_models());
  const State odd = reduced(
      two_models(), "snapshot",
      R"({"topic":"state","rows":[7,{"name":[]},{"name":"a","running":1e300,"waiting":"x","pinned":0}]})");
  EXPECT_EQ(odd.models.at("a").running, 0);
  reduced(
      two_models(), "turns",
      R"({"now_us":1,"lanes":[7,{"lane":-5},{"lane":0,"blocks":[7,[],[1,2,3,4,5],["a",1,"m",0,0]]}]})");
}

// A daemon whose table changes by chance, with the frames that a reader of it gets.
class TableAndReader {
 public:
  explicit TableAndReader(std::uint32_t seed) : random_(seed) {}
  State run(int steps) {
    begin();
    for (int i = 0; i < steps; ++i) {
      change();
      switch (random_() % 8) {
        case 0:  // a new connection
          begin();
          break;
        case 1:  // it does not read for a while
          break;
        default:
          read();
      }
    }
    read();
    return state_;
  }
  // That of a reader who comes at the end.
  State fresh() const { return with({}, {{"hello", kHello}, {"snapshot", table_.whole()}}); }

 private:
  void begin() {
    queue_ = {};
    state_ = reduced(std::move(state_), "hello", kHello);
    read();
  }
  void change() {
    serve::TableFrames::Table next;
    for (int id = 0; id < 12; ++id)
      if (random_() % 3 != 0) next.rows.emplace(std::to_string(id), any_request(id));
    const std::string data = table_.change_to(std::move(next));
    if (!data.empty()) queue_.add(serve::frame_of("delta", 1, data));
  }
  json any_request(int id) {
    json row =
        request(id, "m" + std::to_string(random_() % 3), random_() % 3 == 0 ? "waiting" : "decode");
    row["output_tokens"] = random_() % 4;
    return row;
  }
  void read() {
    while (const serve::Frame frame = queue_.take()) take(*frame);
    if (!queue_.wants_snapshot()) return;
    queue_.begin({serve::frame_of("snapshot", 1, table_.whole())});
    while (const serve::Frame frame = queue_.take()) take(*frame);
  }
  void take(const std::string& frame) {
    const bool whole = frame.starts_with("event: snapshot");
    const std::size_t data = frame.find("data: ") + 6;
    state_ = reduced(std::move(state_), whole ? "snapshot" : "delta",
                     frame.substr(data, frame.find('\n', data) - data));
  }

  std::mt19937 random_;
  serve::TableFrames table_{"requests", "id"};
  serve::FrameQueue queue_;
  State state_;
};

TEST(TopState, HoweverItWasToldItEndsAsOneSnapshot) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    TableAndReader both(seed);
    const State state = both.run(60);
    EXPECT_EQ(state, both.fresh()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace choir::app::top

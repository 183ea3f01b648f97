// `choir top` without a terminal and without a daemon: what is known and what the user has chosen
// make a picture.
#include <gtest/gtest.h>

#include <string>

#include "apps/columns.h"
#include "choir/text.h"
#include "tests/golden.h"
#include "tests/top_views.h"
#include "top/draw.h"
#include "top/pause.h"

namespace choir::app::top {
namespace {

// ---- speeds -------------------------------------------------------------------------------------

TEST(TopRates, AreTokensASecond) {
  const View view = busy();
  EXPECT_EQ(view.rates.of("gemma3-270m"), 50);
  EXPECT_EQ(view.rates.of("smollm2-135m"), 0);
  EXPECT_EQ(view.rates.of("other"), std::nullopt);
  EXPECT_EQ(view.rates.total(), 50);
}

TEST(TopRates, AreNotKnownBeforeNewCountsCanBeThere) {
  const State state = two_models();
  Rates rates;
  rates.look(state, 1);
  rates.look(state, 1.1);
  EXPECT_EQ(rates.total(), std::nullopt);
  rates.look(state, 2);
  EXPECT_EQ(rates.total(), 0);
}

TEST(TopRates, BeginAnewWithAnotherDaemon) {
  View view = busy();
  view.state = reduced(view.state, "hello", R"({"epoch":"2"})");
  view.state =
      reduced(view.state, "snapshot", snapshot("state", json::array({model("gemma3-270m", 3)})));
  view.rates.look(view.state, 12);
  EXPECT_EQ(view.rates.of("gemma3-270m"), std::nullopt);
}

TEST(TopPause, GrowsToALimit) {
  EXPECT_DOUBLE_EQ(pause_before(1, 0, 0.5), 0.5);
  EXPECT_DOUBLE_EQ(pause_before(9, 30, 0.5), 2);
  EXPECT_DOUBLE_EQ(pause_before(40, 90, 0.5), 15);
  EXPECT_DOUBLE_EQ(pause_before(40, 90, 0), 11.25);
}

// ---- keys ---------------------------------------------------------------------------------------

TEST(TopKeys, TheArrowsMoveTheMark) {
  View view = busy();
  press(view, Key::kDown);
  EXPECT_EQ(marked_request(view), 1U);
  press(view, Key::kUp);
  press(view, Key::kUp);
  EXPECT_EQ(marked_request(view), 0U);
  press(view, Key::kLeft);
  for (int i = 0; i < 5; ++i) press(view, Key::kDown);
  EXPECT_EQ(view.chosen.model, "smollm2-135m");
}

TEST(TopKeys, AskBeforeTheyChangeAnything) {
  View view = busy();
  EXPECT_EQ(press(view, Key::kCharacter, 'k'), Effect::kNone);
  ASSERT_TRUE(view.chosen.question);
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/requests/10");  // the oldest
  EXPECT_EQ(press(view, Key::kEnter), Effect::kNone);              // no: nothing is sent
  EXPECT_FALSE(view.chosen.question);
  press(view, Key::kCharacter, 'u');
  ASSERT_TRUE(view.chosen.question);
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/models/gemma3-270m/unload");
  EXPECT_EQ(press(view, Key::kCharacter, 'y'), Effect::kAsk);
}

TEST(TopKeys, PinAndLoad) {
  View view = busy();
  press(view, Key::kCharacter, 'p');
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/models/gemma3-270m/unpin");
  press(view, Key::kEscape);
  view.chosen.model = "smollm2-135m";
  press(view, Key::kCharacter, 'p');
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/models/smollm2-135m/pin");
  press(view, Key::kEscape);
  press(view, Key::kCharacter, 'l');
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/models/smollm2-135m/load");
}

TEST(TopKeys, ChangeNothingWhileTheDaemonDoesNotAnswer) {
  View view = busy();
  view.not_live = "gone";
  press(view, Key::kCharacter, 'u');
  EXPECT_FALSE(view.chosen.question);
  EXPECT_NE(view.chosen.notice, "");
}

TEST(TopKeys, NamesAreEscapedInPaths) {
  View view;
  view.state = with(
      {}, {{"hello", kHello}, {"snapshot", snapshot("state", json::array({model("a b/..%", 1)}))}});
  press(view, Key::kCharacter, 'l');
  EXPECT_EQ(view.chosen.question->path, "/choir/v1/models/a%20b%2F..%25/load");
}

TEST(TopKeys, FilterSortAndBack) {
  View view = busy();
  press(view, Key::kCharacter, '/');
  for (const char c : std::string("SMOLx")) press(view, Key::kCharacter, c);
  press(view, Key::kErase);
  press(view, Key::kEnter);
  ASSERT_EQ(requests_of(view).size(), 1U);
  EXPECT_EQ(requests_of(view)[0]->id, "10");
  press(view, Key::kEscape);
  EXPECT_EQ(requests_of(view).size(), 3U);
  press(view, Key::kCharacter, 's');
  EXPECT_EQ(requests_of(view)[0]->model, "gemma3-270m");
  press(view, Key::kCharacter, 'r');
  EXPECT_EQ(requests_of(view)[0]->model, "smollm2-135m");
}

TEST(TopKeys, QuitFreezeHelp) {
  View view = busy();
  EXPECT_EQ(press(view, Key::kCharacter, 'q'), Effect::kQuit);
  press(view, Key::kCharacter, ' ');
  EXPECT_TRUE(view.chosen.frozen);
  press(view, Key::kCharacter, '?');
  EXPECT_TRUE(view.chosen.help);
  press(view, Key::kEscape);
  EXPECT_FALSE(view.chosen.help);
}

// ---- pictures -----------------------------------------------------------------------------------

TEST(TopPicture, OfTheUsualSizes) {
  expect_golden("top_80x24.txt", text_of(draw_top(busy(), {80, 24})));
  expect_golden("top_120x40.txt", text_of(draw_top(busy(), {120, 40})));
  expect_golden("top_40x12.txt", text_of(draw_top(busy(), {40, 12})));
}

TEST(TopPicture, TellsTheWholeReasonOfTheMarkedRequest) {
  View view = busy();
  EXPECT_EQ(text_of(draw_top(view, {80, 24})).find("310 are free"), std::string::npos);
  press(view, Key::kDown);
  EXPECT_NE(text_of(draw_top(view, {80, 24}))
                .find("2: 3 ahead, ~2m; it needs 2,048 KV cells, and 310 are free"),
            std::string::npos);
}

TEST(TopPicture, LongIdsAreToldApart) {
  View view = busy();
  for (const char* const id : {"2072983415478022446", "2072983415478022447"})
    view.state.requests[id].id = id;
  const std::string text = text_of(draw_top(view, {80, 24}));
  EXPECT_NE(text.find("78022446 "), std::string::npos);
  EXPECT_NE(text.find("78022447 "), std::string::npos);
}

TEST(TopPicture, OfOtherStates) {
  View view = busy();
  view.not_live = "for 12 s; no daemon answers at '/run/choir.sock'";
  view.blocks = false;
  view.chosen.frozen = true;
  press(view, Key::kCharacter, '/');
  expect_golden("top_not_live.txt", text_of(draw_top(view, {80, 24})));
  view = busy();
  press(view, Key::kCharacter, '?');
  expect_golden("top_help.txt", text_of(draw_top(view, {80, 24})));
  expect_golden("top_empty.txt", text_of(draw_top({}, {80, 24})));
}

TEST(TopPicture, FitsIntoAnySize) {
  View view = busy();
  for (const bool help : {false, true})
    for (int columns = 1; columns <= 130; ++columns)
      for (const int rows : {1, 2, 3, 4, 5, 7, 12, 40}) {
        view.chosen.help = help;
        const Grid grid = draw_top(view, {columns, rows});
        ASSERT_LE(grid.rows.size(), static_cast<std::size_t>(rows));
        for (const auto& row : grid.rows) {
          std::size_t wide = 0;
          for (const Piece& piece : row) wide += columns_of(piece.text);
          ASSERT_LE(wide, static_cast<std::size_t>(columns)) << columns << "x" << rows;
        }
      }
}

TEST(TopPicture, NoTextMovesTheCursor) {
  const std::string evil = "a\x1b[2J\x07\n\xe2\x80\xae\xff";
  json bad = model("x", 1);
  bad["name"] = bad["state"] = bad["priority"] = "a\x1b[2J\x07\n\xe2\x80\xae";
  json row = request(1, "x", "waiting");
  for (const char* const field : {"id", "model", "tenant", "state", "waits_for"})
    row[field] = "a\x1b[2J\x07\n\xe2\x80\xae";
  row["why"]["text"] = "a\x1b[2J\x07\n\xe2\x80\xae";
  View view;
  view.state = with({}, {{"hello", R"({"epoch":"1","version":"\u001b[2J"})"},
                         {"snapshot", snapshot("state", json::array({bad}))},
                         {"snapshot", snapshot("requests", json::array({row}))}});
  view.chosen.notice = evil;
  view.not_live = printable_line(evil, 40);
  std::string all = plain_line(view);
  for (const int columns : {2, 20, 40, 80, 200}) {
    for (const auto& pieces : draw_top(view, {columns, 24}).rows)
      for (const Piece& piece : pieces) all += piece.text;
    for (const char key : {'k', 'u', '/'}) {
      View asks = view;
      asks.not_live.clear();
      press(asks, Key::kCharacter, key);
      for (const auto& pieces : draw_top(asks, {columns, 24}).rows)
        for (const Piece& piece : pieces) all += piece.text;
    }
  }
  ASSERT_EQ(requests_of(view).size(), 1U);
  ASSERT_EQ(models_of(view).size(), 1U);
  for (const char c : all) ASSERT_GE(static_cast<unsigned char>(c), 0x20U);
  EXPECT_EQ(all.find("\xe2\x80\xae"), std::string::npos);
  EXPECT_EQ(json_line(view).find('\n'), std::string::npos);
}

TEST(TopPicture, LinesForProgramsAndPipes) {
  const json line = json::parse(json_line(busy()));
  EXPECT_EQ(line["live"], true);
  EXPECT_EQ(line["output_tokens_per_second"], 50);
  EXPECT_EQ(line["models"].size(), 2U);
  EXPECT_EQ(line["requests"][0]["id"], "10");
  EXPECT_DOUBLE_EQ(line["lanes"][0]["share_of_10_s"]["gemma3-270m"].get<double>(), 0.6);
  EXPECT_EQ(plain_line(busy()),
            "live 50.0 tok/s running 4 waiting 1 | gemma3-270m loaded 50.0 tok/s 3+1 | "
            "smollm2-135m loaded 0.0 tok/s 1+0");
}

}  // namespace
}  // namespace choir::app::top

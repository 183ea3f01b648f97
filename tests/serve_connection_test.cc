// What a connection does with time, with clients that are slow, go or send too much at once, and
// what it tells of each exchange.
#include <gtest/gtest.h>

#include <chrono>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "tests/one_connection.h"

namespace choir::serve {
namespace {

using namespace std::chrono_literals;

std::string get(std::string_view path, std::string_view more = "") {
  return std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: localhost\r\n").append(more) +
         "\r\n";
}
std::string post_head(std::size_t bytes) {
  return "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(bytes) +
         "\r\n\r\n";
}
int status_of(const std::string& reply) {
  return reply.size() < 12 ? 0 : std::stoi(reply.substr(9, 3));
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// ---- what takes too long ------------------------------------------------------------------------

TEST_F(OneConnection, GetsTenSecondsForAHead) {
  send("GET /now HTTP/1.1\r\n");
  pass(6s);
  send("Host: localhost\r\n");  // a byte now and then does not help
  pass(4s);
  EXPECT_EQ(read(), "");
  pass(1s);
  const std::string reply = read();
  EXPECT_EQ(status_of(reply), 408);
  EXPECT_TRUE(has(reply, "connection: close\r\n"));
  EXPECT_TRUE(open()) << "for the client to read it";
  pass(3s);
  EXPECT_FALSE(open());
}

TEST_F(OneConnection, NeedsAPaceForABody) {
  send(post_head(64U << 10U));
  pass(10s);
  EXPECT_EQ(read(), "");
  send(std::string(11U << 10U, 'a'));
  pass(1s);
  EXPECT_EQ(read(), "") << "11 KiB in 11 s";
  pass(1s);
  EXPECT_EQ(status_of(read()), 408);
  EXPECT_EQ(host_.bodies, 0U);
}

TEST_F(OneConnection, TakesABodyThatComesAtItsPace) {
  constexpr std::size_t kParts = 30;
  send(post_head(kParts * 2048));
  for (std::size_t i = 0; i < kParts; ++i) {
    send(std::string(2048, 'a'));
    pass(1s);
  }
  const std::string reply = read();
  EXPECT_EQ(status_of(reply), 200);
  EXPECT_TRUE(reply.ends_with("aaaa"));
}

TEST_F(OneConnection, EndsWhenItIsIdle) {
  ask(get("/now"));
  pass(75s);
  EXPECT_TRUE(open());
  pass(1s);
  EXPECT_FALSE(open());
  EXPECT_EQ(host_.exchanges.size(), 1U) << "only what was asked is told";
}

TEST_F(OneConnection, EndsWhenItsReaderTakesNothing) {
  send(get("/big"));
  pass(30s);
  EXPECT_TRUE(open());
  pass(1s);
  EXPECT_FALSE(open());
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, kClientGone);
  EXPECT_GT(host_.exchanges[0].bytes, 0U);
  EXPECT_LT(host_.exchanges[0].bytes, kBigBytes);
}

TEST_F(OneConnection, GoesOnForAReaderThatIsSlow) {
  send(get("/big"));
  std::size_t bytes = 0;
  while (bytes < kBigBytes / 2) {
    bytes += read(256U << 10U).size();
    pass(25s);
    ASSERT_TRUE(open());
  }
  bytes += read().size();
  EXPECT_GT(bytes, kBigBytes);
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, 200);
  EXPECT_EQ(host_.exchanges[0].bytes, bytes);
}

// The socket says that it has room only when most of what it keeps has been read.
TEST_F(OneConnection, GoesOnForAReaderThatTakesLittleAtATime) {
  send(get("/big"));
  for (int i = 0; i < 30; ++i) {
    EXPECT_FALSE(read(16U << 10U).empty());
    pass(10s);
    ASSERT_TRUE(open()) << i;
  }
}

TEST_F(OneConnection, MayBeSilentWhileItIsAnswered) {
  send(get("/wait"));
  pass(24h);
  EXPECT_TRUE(open());
  EXPECT_EQ(host_.waiting.silent, Nanos(24h));
}

TEST_F(OneConnection, ReservesOfABodyInChunksWhatHasCome) {
  send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(host_.bodies, 0U);
  send("5\r\nhello\r\n");
  EXPECT_EQ(host_.bodies, 5U);
  host_.bodies_max = 8;
  send("4\r\nmore\r\n");
  EXPECT_EQ(status_of(read()), 503);
  EXPECT_EQ(host_.bodies, 0U);
}

TEST_F(OneConnection, ReservesOfABodyWithALengthWhatHasComeAndALittleMore) {
  send(post_head(64U << 10U));
  EXPECT_EQ(host_.bodies, 16U << 10U);
  send(std::string(20U << 10U, 'a'));
  EXPECT_EQ(host_.bodies, 20U << 10U);
  host_.bodies_max = 30U << 10U;
  send(std::string(20U << 10U, 'a'));
  EXPECT_EQ(status_of(read()), 503);
  EXPECT_EQ(host_.bodies, 0U);
}

TEST_F(OneConnection, WithoutRoomForABodySaysSoBeforeItComes) {
  host_.bodies_max = 1000;
  EXPECT_EQ(status_of(ask(post_head(64U << 10U))), 503);
}

// ---- one request after another ------------------------------------------------------------------

TEST_F(OneConnection, AnswersWhatCameTogetherInItsOrder) {
  const std::string replies = ask(get("/now?1") + post_head(2) + "{}" + get("/now?3"));
  const std::size_t first = replies.find("\"query\":\"1\"");
  const std::size_t second = replies.find("\r\n\r\n{}");
  const std::size_t third = replies.find("\"query\":\"3\"");
  ASSERT_NE(third, std::string::npos) << replies;
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_EQ(host_.exchanges.size(), 3U);
}

TEST_F(OneConnection, LeavesTheNextRequestUntilThisOneIsAnswered) {
  send(get("/wait") + get("/now?2"));
  EXPECT_EQ(read(), "");
  give({.head = ReplyHead{}, .bytes = "done", .end = true});
  const std::string replies = read();
  EXPECT_LT(replies.find("\r\n\r\ndone"), replies.find("\"query\":\"2\"")) << replies;
}

TEST_F(OneConnection, StreamsWhatItsWorkGives) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = "one"});
  EXPECT_TRUE(read().ends_with("transfer-encoding: chunked\r\n\r\n3\r\none\r\n"));
  give({.bytes = "two"});
  EXPECT_EQ(read(), "3\r\ntwo\r\n");
  give({.end = true});
  EXPECT_EQ(read(), "0\r\n\r\n");
  EXPECT_EQ(status_of(ask(get("/now"))), 200);
}

// ---- ends ---------------------------------------------------------------------------------------

TEST_F(OneConnection, OfAClientThatGoesEndsItsWork) {
  send(get("/wait"));
  EXPECT_EQ(host_.waiting.begun, 1);
  client_.close();
  turn();
  EXPECT_EQ(host_.waiting.ended, 1);
  EXPECT_FALSE(open());
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, kClientGone);
  EXPECT_EQ(host_.exchanges[0].facts.model, "small");
}

TEST_F(OneConnection, OfAServerThatDrainsEndsAfterItsAnswer) {
  send(get("/wait"));
  host_.drains = true;
  tell([](Connection& connection) { connection.end_when_idle(); });
  ASSERT_TRUE(open());
  give({.head = ReplyHead{}, .bytes = "done", .end = true});
  const std::string reply = read();
  EXPECT_TRUE(has(reply, "connection: close\r\n") && reply.ends_with("done")) << reply;
  client_.close();
  turn();
  EXPECT_FALSE(open());
}

TEST_F(OneConnection, OfAServerThatDrainsEndsAfterAStreamThatHasBegun) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = "one"});
  host_.drains = true;
  tell([](Connection& connection) { connection.end_when_idle(); });
  ASSERT_TRUE(open());
  give({.end = true});
  EXPECT_TRUE(read().ends_with("0\r\n\r\n"));
  pass(3s);
  EXPECT_FALSE(open());
}

TEST_F(OneConnection, OfAServerThatDrainsTakesNoNewRequest) {
  send("GET /now HTTP/1.1\r\n");
  host_.drains = true;
  tell([](Connection& connection) { connection.end_when_idle(); });
  const std::string reply = ask("Host: localhost\r\n\r\n");
  EXPECT_EQ(status_of(reply), 503);
  EXPECT_TRUE(has(reply, "retry-after: "));
  EXPECT_EQ(host_.exchanges.size(), 1U);
}

TEST_F(OneConnection, OfAServerThatDrainsEndsAtOnceWhenItIsIdle) {
  host_.drains = true;
  tell([](Connection& connection) { connection.end_when_idle(); });
  EXPECT_FALSE(open());
  EXPECT_TRUE(host_.exchanges.empty());
}

TEST_F(OneConnection, ThatIsClosedByTheServerEndsItsWork) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = "one"});
  tell([](Connection& connection) { connection.close(); });
  EXPECT_EQ(host_.waiting.ended, 1);
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, 503);
}

const Refusal kEnding{503, "the daemon is ending"};

TEST_F(OneConnection, ThatIsCutShortSaysSoInItsStream) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = "one"});
  read();
  host_.waiting.last = {.bytes = "error: "};
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  EXPECT_EQ(read(), "1b\r\nerror: the daemon is ending\r\n0\r\n\r\n");
  EXPECT_EQ(host_.waiting.ended, 1);
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, 503);
  EXPECT_TRUE(open()) << "for the client to read it";
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  EXPECT_EQ(read(), "") << "it is said once";
  pass(3s);
  EXPECT_FALSE(open());
}

TEST_F(OneConnection, ThatIsCutShortHasTheStatusWhereNothingWasSent) {
  for (const std::string& begun :
       {get("/wait"), post_head(10) + "{", std::string("GET /now HTTP")}) {
    connect();
    send(begun);
    tell([](Connection& connection) { connection.cut_short(kEnding); });
    const std::string reply = read();
    EXPECT_EQ(status_of(reply), 503) << begun;
    EXPECT_TRUE(has(reply, "connection: close\r\n") && reply.ends_with("the daemon is ending"))
        << reply;
  }
}

TEST_F(OneConnection, ThatIsCutShortHasTheReplyOfItsWorkWhereNothingWasSent) {
  send(get("/wait"));
  host_.waiting.last = {.head = ReplyHead{.status = 503}, .bytes = "own: "};
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  const std::string reply = read();
  EXPECT_EQ(status_of(reply), 503);
  EXPECT_TRUE(has(reply, "connection: close\r\n") && reply.ends_with("own: the daemon is ending"))
      << reply;
}

TEST_F(OneConnection, ThatIsCutShortSendsACompleteAnswerToItsEnd) {
  send(get("/big"));
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  EXPECT_TRUE(read().ends_with("bbbb"));
  ASSERT_EQ(host_.exchanges.size(), 1U);
  EXPECT_EQ(host_.exchanges[0].status, 200);
}

TEST_F(OneConnection, ThatIsCutShortIsClosedWhereItsAnswerHasNoFormForIt) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = "one"});
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  EXPECT_FALSE(open());
}

TEST_F(OneConnection, ThatIsCutShortEndsAtOnceWhenItIsIdle) {
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  EXPECT_FALSE(open());
  EXPECT_TRUE(host_.exchanges.empty());
}

TEST_F(OneConnection, ThatIsCutShortWhileItsReaderIsSlowSaysSoAfterWhatWaits) {
  send(get("/wait"));
  give({.head = ReplyHead{.streamed = true}, .bytes = std::string(kBigBytes, 'b')});
  host_.waiting.last = {.bytes = "error: "};
  tell([](Connection& connection) { connection.cut_short(kEnding); });
  std::string text;
  while (!text.ends_with("0\r\n\r\n")) {
    const std::string more = read();
    ASSERT_FALSE(more.empty());
    text += more;
  }
  EXPECT_TRUE(text.ends_with("error: the daemon is ending\r\n0\r\n\r\n"));
}

// ---- what is told of an exchange ----------------------------------------------------------------

TEST_F(OneConnection, TellsOfEachExchange) {
  send("GET /wa");
  pass(1s);
  send("it?secret=1 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n\r\n");
  pass(2s);
  give({.head = ReplyHead{}, .bytes = "done", .end = true});
  const std::string reply = read();
  EXPECT_TRUE(has(reply, "\r\nx-request-id: mine\r\n")) << reply;
  ASSERT_EQ(host_.exchanges.size(), 1U);
  const Exchange expected{.id = "mine",
                          .method = "GET",
                          .path = "/wait",
                          .address = "1.2.3.4",
                          .tenant = "local",
                          .status = 200,
                          .bytes = reply.size(),
                          .seconds = 3,
                          .facts = {.model = "small", .prompt_tokens = 3}};
  EXPECT_EQ(host_.exchanges[0], expected);
}

struct Refused {
  std::string name;
  std::string bytes;
  int status;
};
void PrintTo(const Refused& r, std::ostream* out) { *out << r.name; }
class RefusedRequest : public OneConnection, public testing::WithParamInterface<Refused> {};

TEST_P(RefusedRequest, HasAnIdAndIsTold) {
  const std::string reply = ask(GetParam().bytes);
  EXPECT_EQ(status_of(reply), GetParam().status) << reply;
  ASSERT_EQ(host_.exchanges.size(), 1U);
  const Exchange& told = host_.exchanges[0];
  EXPECT_EQ(told.status, GetParam().status);
  EXPECT_TRUE(has(reply, "\r\nx-request-id: " + told.id + "\r\n")) << reply;
  EXPECT_EQ(told.bytes, reply.size());
}

const Refused kRefused[] = {
    {"NoSuchPath", get("/nothing"), 404},
    {"PathThatClimbs", get("/../now"), 400},
    {"HeadWithoutHost", "GET /now HTTP/1.1\r\n\r\n", 400},
    {"HeadThatIsTooLong", "GET /" + std::string(9000, 'a'), 414},
    {"BodyThatIsTooLong", post_head(1U << 20U), 413},
    {"BodyThatIsNotChunked",
     "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
};
INSTANTIATE_TEST_SUITE_P(, RefusedRequest, testing::ValuesIn(kRefused),
                         [](const auto& r) { return r.param.name; });

}  // namespace
}  // namespace choir::serve

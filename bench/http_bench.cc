// The same load through the C++ API and over HTTP to a daemon, in alternating runs: what the daemon
// costs. The client of the daemon runs on the same cores.
//
//   ./dev bench http
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/daemon/daemon.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/node.h"

namespace choir::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 5;
constexpr int kStreams = 64;
constexpr int kTokens = 64;
constexpr int kFirstTokens = 20;  // pairs of time to first token
constexpr int kHealth = 5000;
constexpr std::int32_t kSequenceTokens = 2048;
constexpr std::int32_t kCells = 8192;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// Unlike all others, so that nothing is reused.
std::string prompt_of(int number) {
  return "Letter " + std::to_string(number * 7919) +
         ". Dear friend, today I want to tell you about the old harbour and its boats.";
}

// ---- through the C++ API ------------------------------------------------------------------------

class Native {
 public:
  explicit Native(const std::string& path) {
    auto node = Node::create({});
    CHOIR_CHECK(node, "a node starts");
    node_ = std::move(*node);
    CHOIR_CHECK(node_->add({.name = "bench",
                            .path = path,
                            .context_tokens = kCells,
                            .sequences_max = kStreams,
                            .sequence_tokens_max = kSequenceTokens}),
                "the model fits");
  }
  // Seconds until all have ended.
  double streams(int first_prompt) {
    const auto began = Clock::now();
    std::vector<Submission> all;
    for (int i = 0; i < kStreams; ++i) all.push_back(submit(first_prompt + i, kTokens, {}));
    for (Submission& one : all) CHOIR_CHECK(!one.result.get().error, "a request ends well");
    return seconds_since(began);
  }
  double first_token(int prompt) {
    const auto began = Clock::now();
    std::atomic<double> first = 0;
    submit(prompt, 2, [&](const StreamEvent& event) {
      if (!event.text.empty() && first.load() == 0) first.store(seconds_since(began));
    }).result.get();
    return first.load();
  }

 private:
  Submission submit(int prompt, int tokens, OnEvent on_event) {
    if (!on_event) on_event = [](const StreamEvent&) {};
    Request request;
    request.executor = "bench";
    request.text = prompt_of(prompt);
    request.max_tokens = tokens;
    request.ignore_eos = true;
    request.sampling.seed = static_cast<std::uint64_t>(prompt);
    auto submission = node_->submit(request, {.on_event = std::move(on_event), .on_done = {}});
    CHOIR_CHECK(submission, "a request is taken");
    return std::move(*submission);
  }
  std::unique_ptr<Node> node_;
};

// ---- over HTTP ----------------------------------------------------------------------------------

class Http {
 public:
  explicit Http(const std::string& path)
      : daemon_({"--unix-socket", "", "--model", path, "--preload", "--sequences",
                 std::to_string(kStreams), "--context-tokens", std::to_string(kSequenceTokens)}) {}

  double streams(int first_prompt) {
    const auto began = Clock::now();
    std::vector<int> sockets;
    for (int i = 0; i < kStreams; ++i) {
      sockets.push_back(daemon_.connect());
      send_all(sockets.back(), completion(first_prompt + i, kTokens));
    }
    read_streams(sockets);
    return seconds_since(began);
  }
  double first_token(int prompt) {
    const int socket = daemon_.connect();
    const auto began = Clock::now();
    send_all(socket, completion(prompt, 2));
    std::string got;
    double first = 0;
    while (got.find("[DONE]") == std::string::npos) {
      char bytes[16384];
      const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
      CHOIR_CHECK(count > 0, "the stream goes on to its end");
      got.append(bytes, static_cast<std::size_t>(count));
      if (first == 0 && got.find("\"text\"") != std::string::npos) first = seconds_since(began);
    }
    close(socket);
    return first;
  }
  // Replies a second on one connection.
  double health() {
    const int socket = daemon_.connect();
    const auto began = Clock::now();
    for (int i = 0; i < kHealth; ++i) {
      send_all(socket, get("/health"));
      char bytes[1024];
      CHOIR_CHECK(recv(socket, bytes, sizeof bytes, 0) > 0, "it answers");
    }
    const double seconds = seconds_since(began);
    close(socket);
    return kHealth / seconds;
  }

 private:
  static std::string completion(int prompt, int tokens) {
    return post("/v1/completions", nlohmann::json{{"prompt", prompt_of(prompt)},
                                                  {"max_tokens", tokens},
                                                  {"stream", true},
                                                  {"ignore_eos", true},
                                                  {"seed", prompt}}
                                       .dump());
  }
  const Daemon daemon_;
};

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir;
  using namespace choir::bench;
  const Arguments arguments = parse(argc, argv, "The C++ API beside the daemon's HTTP");
  const auto path = resolve_model("smollm2-135m");
  if (!path) {
    std::fprintf(stderr, "http: %s\n", path.error().message.c_str());
    return 1;
  }
  Http http(*path);  // first: it forks
  Native native(*path);
  int prompt = 0;
  native.streams(prompt += kStreams);
  http.streams(prompt += kStreams);

  std::vector<double> native_rates;
  std::vector<double> http_rates;
  std::vector<double> ratios;
  for (int run = 0; run < kRuns; ++run) {
    const auto rate = [](double seconds) { return kStreams * kTokens / seconds; };
    if (run % 2 == 0) native_rates.push_back(rate(native.streams(prompt += kStreams)));
    http_rates.push_back(rate(http.streams(prompt += kStreams)));
    if (run % 2 != 0) native_rates.push_back(rate(native.streams(prompt += kStreams)));
    ratios.push_back(http_rates.back() / native_rates.back());
  }
  std::vector<double> native_first;
  std::vector<double> http_first;
  std::vector<double> first_ratios;
  for (int pair = 0; pair < kFirstTokens; ++pair) {
    if (pair % 2 == 0) native_first.push_back(1e3 * native.first_token(++prompt));
    http_first.push_back(1e3 * http.first_token(++prompt));
    if (pair % 2 != 0) native_first.push_back(1e3 * native.first_token(++prompt));
    first_ratios.push_back(http_first.back() / native_first.back());
  }
  return finish(
      "http",
      {row("64 streams through the C++ API", "tok/s", median(native_rates), {}, Better::kHigher),
       row("64 streams over HTTP", "tok/s", median(http_rates), {}, Better::kHigher),
       row("HTTP / C++ API", "x", median(ratios), 0.97, Better::kHigher),
       row("first token through the C++ API", "ms", median(native_first), {}),
       row("first token over HTTP", "ms", median(http_first), {}),
       row("HTTP / C++ API, first token", "x", median(first_ratios), 1.02),
       row("/health on one connection", "replies/s", http.health(), {}, Better::kHigher)},
      arguments);
}

// Ten thousand clients of one daemon: 8,000 that watch its events, 1,000 that wait in queues, 992
// that read a stream slowly, and 8 that read as fast as they can. What do the 8 lose, and what does
// an idle client cost?
//
//   ./dev bench swarm [--no-peers] [--only choir|llama-server]
//
// The slow readers' texts are written before anything is measured, and wait in the daemon's and the
// system's buffers; those that wait are in the queue of a suspended model. What the 8 have alone is
// measured at a second daemon like the first, which has no other clients, while the first is
// stopped. The two take turns, because the machine gets slower and faster within seconds.
//
// llama-server has a thread for each client that it answers. The table says beside how many clients
// that wait for their text it still answers others; Choir does so beside all of these.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/daemon/daemon.h"
#include "bench/daemon/llama_server.h"
#include "bench/report/report.h"
#include "choir/catalog.h"

namespace choir::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr int kEvents = 8000;
constexpr int kWaiting = 1000;
constexpr int kSlow = 992;
constexpr int kFast = 8;
constexpr int kAll = kEvents + kWaiting + kSlow + kFast;
constexpr int kTurns = 24;  // of each daemon
constexpr int kFastTokens = 256;
constexpr int kSlowTokens = 128;  // about 24 KiB of events
constexpr std::size_t kSlowBytes = 4096;
constexpr std::chrono::seconds kSlowEvery{10};
constexpr int kSlowBuffer = 4096;
constexpr std::chrono::seconds kSettle{3};
constexpr std::chrono::milliseconds kAwake{300};  // what was due while a daemon was stopped is done
constexpr rlim_t kDescriptors = 16384;
constexpr int kHealthTries = 5;   // of one second each
constexpr int kPeerTokens = 900;  // so that they wait for long

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

std::string completion(const std::string& model, int number, int tokens, const char* priority) {
  return post("/v1/completions",
              Json{{"model", model},
                   {"prompt", "Letter " + std::to_string(number * 7919) + ". Dear friend,"},
                   {"max_tokens", tokens},
                   {"stream", true},
                   {"ignore_eos", true},
                   {"priority", priority},
                   {"seed", number}}
                  .dump());
}

// Clients that take what comes and do nothing with it, on one thread: as many as are watched cost
// the machine little beside what the daemon does for them.
class Watchers {
 public:
  Watchers() : poll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Watchers() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
    for (const int socket : sockets_) close(socket);
    close(poll_);
  }
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  void add(int socket) {
    fcntl(socket, F_SETFL, O_NONBLOCK);
    sockets_.push_back(socket);
    epoll_event event{.events = EPOLLIN, .data = {.fd = socket}};
    CHOIR_CHECK(epoll_ctl(poll_, EPOLL_CTL_ADD, socket, &event) == 0, "a socket is watched");
  }
  void begin() {
    thread_ = std::thread([this] { read(); });
  }
  int lost() const { return lost_.load(); }

 private:
  void read() {
    std::vector<epoll_event> events(256);
    std::vector<char> bytes(65536);
    while (!stop_.load()) {
      const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), 100);
      for (int i = 0; i < count; ++i) {
        const int socket = events[static_cast<std::size_t>(i)].data.fd;
        if (recv(socket, bytes.data(), bytes.size(), 0) > 0) continue;
        epoll_ctl(poll_, EPOLL_CTL_DEL, socket, nullptr);
        lost_.fetch_add(1);
      }
    }
  }
  const int poll_;
  std::vector<int> sockets_;
  std::atomic<bool> stop_{false};
  std::atomic<int> lost_{0};
  std::thread thread_;
};

// Each takes a few bytes every ten seconds, all on one thread.
class SlowReaders {
 public:
  ~SlowReaders() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
    for (const int socket : sockets_) close(socket);
  }
  void add(int socket) {
    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kSlowBuffer, sizeof kSlowBuffer);
    fcntl(socket, F_SETFL, O_NONBLOCK);
    sockets_.push_back(socket);
  }
  void begin() {
    thread_ = std::thread([this] { read(); });
  }
  int dropped() const { return dropped_.load(); }

 private:
  void read() {
    std::vector<char> bytes(kSlowBytes);
    std::vector<std::string> tails(sockets_.size());
    std::vector<bool> gone(sockets_.size());
    const auto pause = std::chrono::nanoseconds(kSlowEvery) / sockets_.size();
    for (std::size_t i = 0; !stop_.load(); i = (i + 1) % sockets_.size()) {
      std::this_thread::sleep_for(pause);
      if (gone[i]) continue;
      const ssize_t count = recv(sockets_[i], bytes.data(), bytes.size(), 0);
      if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) continue;
      if (count > 0) {
        tails[i].append(bytes.data(), static_cast<std::size_t>(count));
        if (tails[i].size() > 64) tails[i].erase(0, tails[i].size() - 64);
        continue;
      }
      gone[i] = true;  // one that has had all of its text may be disconnected as idle
      if (tails[i].find("[DONE]") == std::string::npos) dropped_.fetch_add(1);
    }
  }
  std::vector<int> sockets_;
  std::atomic<bool> stop_{false};
  std::atomic<int> dropped_{0};
  std::thread thread_;
};

// Tokens a second of the eight.
double fast(const Daemon& daemon, int first) {
  const auto began = Clock::now();
  std::vector<int> sockets;
  for (int i = 0; i < kFast; ++i) {
    sockets.push_back(daemon.connect());
    send_all(sockets.back(), completion("fast", first + i, kFastTokens, "normal"));
  }
  read_streams(sockets);
  return kFast * kFastTokens / seconds_since(began);
}

// The JSON of a reply with a length; closes the socket.
Json ask(int socket, const std::string& request) {
  send_all(socket, request);
  std::string got;
  std::size_t end = std::string::npos;
  std::size_t length = 0;
  while (end == std::string::npos || got.size() < end + length) {
    char bytes[16384];
    const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
    CHOIR_CHECK(count > 0, "the daemon answers");
    got.append(bytes, static_cast<std::size_t>(count));
    if (end != std::string::npos || got.find("\r\n\r\n") == std::string::npos) continue;
    end = got.find("\r\n\r\n") + 4;
    length = std::stoul(got.substr(got.find("content-length: ") + 16));
  }
  close(socket);
  return Json::parse(got.substr(end));
}

Json model_of(const Daemon& daemon, const std::string& name) {
  return ask(daemon.connect(), get("/choir/v1/models/" + name));
}

// Until `enough` holds of the model; ten minutes at most.
template <class Enough>
void wait_for(const Daemon& daemon, const std::string& name, const char* what, Enough enough) {
  for (int i = 0; i < 6000; ++i) {
    if (enough(model_of(daemon, name))) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::fprintf(stderr, "swarm: after ten minutes not yet: %s\n%s\n", what,
               model_of(daemon, name).dump().c_str());
  std::exit(1);
}

// All but the eight: what they wait for is written, or waits, once they are there.
class Others {
 public:
  Others(const Daemon& daemon, int& number) {
    const std::uint64_t before = daemon.resident_bytes();
    come(daemon, kEvents, watchers_, [] { return get("/choir/v1/events"); });
    std::this_thread::sleep_for(kSettle);
    idle_kib_ = static_cast<double>(daemon.resident_bytes() - before) / 1024 / kEvents;

    come(daemon, kWaiting, waiting_,
         [&] { return completion("waits", ++number, kFastTokens, "normal"); });
    wait_for(daemon, "waits", "1,000 requests wait", [](const Json& model) {
      return model["waiting"].get<int>() + model["running"].get<int>() == kWaiting;
    });
    come(daemon, kSlow, slow_, [&] { return completion("slow", ++number, kSlowTokens, "low"); });
    wait_for(daemon, "slow", "the slow readers' texts are written", [](const Json& model) {
      return model["output_tokens"].get<int>() >= kSlow * kSlowTokens;
    });
  }
  double idle_kib() const { return idle_kib_; }
  int dropped() const { return slow_.dropped(); }
  int lost() const { return watchers_.lost() + waiting_.lost(); }

 private:
  template <class Readers, class Request>
  static void come(const Daemon& daemon, int count, Readers& readers, Request request) {
    for (int i = 0; i < count; ++i) {
      const int socket = daemon.connect();
      send_all(socket, request());
      readers.add(socket);
    }
    readers.begin();
  }

  double idle_kib_ = 0;
  Watchers watchers_;
  Watchers waiting_;
  SlowReaders slow_;
};

// How many clients that wait for a stream llama-server has when it answers nobody else; kAll if it
// always does. They come one by one. It may leave a connection without a thread while it could have
// more, and the next one makes it go on: so it is asked several times, each on a new connection.
int end_of_peer(const std::string& model, const std::string& folder) {
  const LlamaServer server(model, folder);
  const auto answers = [&] {
    for (int i = 0; i < kHealthTries; ++i)
      if (server.answers(1)) return true;
    return false;
  };
  std::vector<int> clients;
  while (static_cast<int>(clients.size()) < kAll && answers()) {
    const int client = server.connect(1);
    if (client < 0) break;
    clients.push_back(client);
    const std::string request =
        completion("any", static_cast<int>(clients.size()), kPeerTokens, "normal");
    send(client, request.data(), request.size(), MSG_NOSIGNAL);
  }
  for (const int client : clients) close(client);
  return static_cast<int>(clients.size());
}

std::string found(const char* name) {
  const auto path = resolve_model(name);
  if (path) return *path;
  std::fprintf(stderr, "swarm: %s\n", path.error().message.c_str());
  std::exit(1);
}

// What the eight lose beside the others, and what those cost.
std::vector<Row> beside_others(const std::filesystem::path& folder) {
  const std::string admin = folder / "choir.sock";
  const std::vector<std::string> models = {
      "--model", folder / "fast.gguf", "--model",   folder / "waits.gguf",
      "--model", folder / "slow.gguf", "--preload", "--sequences",
      "64",      "--context-tokens",   "2048"};
  std::vector<std::string> with_socket = models;
  with_socket.insert(with_socket.end(), {"--unix-socket", admin});
  const Daemon quiet(models);
  const Daemon crowded(with_socket);
  ask(connect_to_path(admin), post("/choir/v1/models/waits/suspend", ""));
  int number = 1;
  const Others others(crowded, number);
  std::vector<double> alone;
  std::vector<double> beside;
  const auto measure = [&](const Daemon& daemon, std::vector<double>& rates) {
    rates.push_back(fast(daemon, number += kFast));
  };
  fast(quiet, number += kFast);  // warm
  fast(crowded, number += kFast);
  // Each daemon begins every second turn: a machine that gets faster favours neither.
  for (int turn = 0; turn < kTurns; ++turn) {
    if (turn % 2 == 0) measure(crowded, beside);
    crowded.stop();
    measure(quiet, alone);
    crowded.go_on();
    std::this_thread::sleep_for(kAwake);
    if (turn % 2 == 1) measure(crowded, beside);
  }
  const auto asked = Clock::now();
  CHOIR_CHECK(ask(crowded.connect(), get("/health"))["status"] == "ok", "the daemon is well");
  const double health_ms = 1e3 * seconds_since(asked);
  return {Row{.name = "8 fast readers beside 9,992 others / alone",
              .unit = "tok/s",
              .choir = median(beside),
              .peer = median(alone),
              .peer_name = "alone",
              .goal = 0.95},
          row("resident, each of 8,000 idle clients", "KiB", others.idle_kib(), 32),
          row("slow readers that were dropped", "", others.dropped(), 0),
          row("watchers and waiting ones that were dropped", "", others.lost(), 0),
          row("/health beside 9,992 clients", "ms", health_ms, std::nullopt)};
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir;
  using namespace choir::bench;
  namespace fs = std::filesystem;
  const Arguments arguments =
      parse(argc, argv, "Ten thousand clients of one daemon", Loads::kBesidePeers);
  const rlimit descriptors{kDescriptors, kDescriptors};
  CHOIR_CHECK(setrlimit(RLIMIT_NOFILE, &descriptors) == 0,
              "16,384 descriptors are allowed (run it as root, or raise `ulimit -Hn`)");
  const std::string path = found("smollm2-135m");
  const fs::path folder = fs::temp_directory_path() / ("choir-swarm-" + std::to_string(getpid()));
  fs::create_directories(folder);
  fs::create_symlink(path, folder / "fast.gguf");
  fs::create_symlink(path, folder / "waits.gguf");
  fs::create_symlink(path, folder / "slow.gguf");

  std::vector<Row> rows;
  if (arguments.wants("choir")) rows = beside_others(folder);
  if (arguments.peers && arguments.wants("llama-server"))
    rows.push_back(row("clients that llama-server has when others get no answer", "",
                       end_of_peer(path, folder), std::nullopt));
  fs::remove_all(folder);
  return finish("swarm", rows, arguments);
}

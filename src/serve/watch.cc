#include "serve/watch.h"

#include <algorithm>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "serve/client_exchange.h"

namespace choir::serve {
namespace {

constexpr std::size_t kBodyMax = 1U << 20U;  // of a reply that is no stream

// One request that goes on.
struct Going {
  std::unique_ptr<CurlExchange> exchange;
  bool streams = false;
  DaemonWatch::Callbacks stream = {};
  DaemonWatch::OnReply on_reply = {};
  EventLines lines = {};
  std::string body = {};
};

std::size_t take(char* bytes, std::size_t size, std::size_t count, void* out) {
  Going& going = *static_cast<Going*>(out);
  const std::string_view come(bytes, size * count);
  if (going.streams && going.exchange->status() == 200)
    going.lines.add(come, [&](std::string_view data) {
      going.stream.on_event(going.lines.name(), going.lines.id(), data);
    });
  else
    going.body += come.substr(0, kBodyMax - std::min(kBodyMax, going.body.size()));
  return come.size();
}

struct MultiEnd {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

struct DaemonWatch::State {
  DaemonAddress daemon;
  std::list<Going> all = {};  // curl holds their addresses
  std::unique_ptr<CURLM, MultiEnd> multi = {};

  Status begin(Going going, const std::string& method, const std::string& path) {
    going.exchange = CHOIR_TRY(CurlExchange::create(daemon, method, path, {}));
    if (!multi) multi.reset(curl_multi_init());  // curl is set up by create()
    if (!multi) return fail(Code::kUnavailable, "libcurl cannot be used");
    Going& kept = all.emplace_back(std::move(going));
    kept.exchange->set(CURLOPT_WRITEFUNCTION, take);
    kept.exchange->set(CURLOPT_WRITEDATA, &kept);
    curl_multi_add_handle(multi.get(), kept.exchange->curl());
    return {};
  }
  void end(std::list<Going>::iterator one) {
    curl_multi_remove_handle(multi.get(), one->exchange->curl());
    all.erase(one);
  }
  // Those that curl has done with.
  void tell_ends() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode done = message->data.result;
      const auto one = std::ranges::find_if(
          all, [&](const Going& g) { return g.exchange->curl() == message->easy_handle; });
      if (one == all.end()) continue;
      const Status checked = one->exchange->check(done);
      Result<ClientReply> reply =
          checked ? Result<ClientReply>(ClientReply{one->exchange->status(), std::move(one->body)})
                  : Result<ClientReply>(tl::unexpected(checked.error()));
      const OnReply on_reply = one->streams ? one->stream.on_end : one->on_reply;
      end(one);
      on_reply(reply);
    }
  }
};

DaemonWatch::DaemonWatch(const DaemonAddress& daemon)
    : state_(std::make_unique<State>(State{.daemon = daemon})) {}

DaemonWatch::~DaemonWatch() {
  while (!state_->all.empty()) state_->end(state_->all.begin());
}

Status DaemonWatch::open(const std::string& path, Callbacks callbacks) {
  close();
  return state_->begin({.exchange = {}, .streams = true, .stream = std::move(callbacks)}, "GET",
                       path);
}

void DaemonWatch::close() {
  const auto open = std::ranges::find_if(state_->all, [](const Going& g) { return g.streams; });
  if (open != state_->all.end()) state_->end(open);
}

bool DaemonWatch::is_open() const {
  return std::ranges::any_of(state_->all, [](const Going& g) { return g.streams; });
}

Status DaemonWatch::send(const std::string& method, const std::string& path, OnReply on_reply) {
  return state_->begin({.exchange = {}, .on_reply = std::move(on_reply)}, method, path);
}

void DaemonWatch::wait(std::chrono::milliseconds longest, int file) {
  State& s = *state_;
  if (!s.multi) s.multi.reset(curl_multi_init());
  if (!s.multi) return;
  int running = 0;
  curl_multi_perform(s.multi.get(), &running);
  s.tell_ends();
  curl_waitfd readable{};
  readable.fd = file;
  readable.events = CURL_WAIT_POLLIN;
  curl_multi_poll(s.multi.get(), &readable, file < 0 ? 0U : 1U, static_cast<int>(longest.count()),
                  nullptr);
  curl_multi_perform(s.multi.get(), &running);
  s.tell_ends();
}

}  // namespace choir::serve

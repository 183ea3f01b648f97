// A node as if it were on another machine: cancels, and every call of a move with its answer, go as
// bytes, over a link that loses, repeats and delays them as a seeded dice says. One thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/cbor_fields.h"
#include "runtime/active_requests.h"
#include "runtime/node_seam.h"

namespace choir {

class LoopbackNode final : public NodeSeam {
 public:
  // Of 100 messages each.
  struct Link {
    unsigned lost = 0;          // the call does not come
    unsigned answer_lost = 0;   // it comes, and the answer does not
    unsigned repeated = 0;      // it comes twice
    unsigned late = 0;          // it comes at some later time; the caller has no answer
    unsigned answer_twice = 0;  // the second answer is the one that is read
  };
  LoopbackNode(NodeSeam& inner, std::mt19937& dice) : inner_(inner), dice_(dice) {}

  Link link;
  struct Counts {
    int lost = 0;
    int repeated = 0;
    int late = 0;
  };
  Counts counts;
  // What is late comes now, in any order; nobody reads the answers.
  void deliver_late() {
    std::vector<std::string> all = std::exchange(late_, {});
    std::ranges::shuffle(all, dice_);
    for (const std::string& message : all) (void)serve(message);
  }

  NodeId node() const override { return inner_.node(); }
  // The request as bytes; once, as over a connection.
  Result<Submission> submit(const Request& request, Callbacks callbacks, Continuation continuation,
                            Gated gated) override {
    FrozenExecutor carrier;
    carrier.arrivals.push_back({.id = {1}, .request = request});
    auto read = deserialize_frozen(serialize(carrier));
    if (!read) return tl::unexpected(read.error());
    return inner_.submit(read->arrivals.at(0).request, std::move(callbacks),
                         std::move(continuation), gated);
  }
  std::optional<ReplicaView> look(std::string_view executor, ConversationKey key) const override {
    return inner_.look(executor, key);
  }
  Status cancel(RequestId id) override {
    return status(ask({{"call", kCancel}, {"id", id.value}}));
  }

  Result<ExecutorMove> begin_move(std::string_view executor, NodeId to) override {
    const Json answer = CHOIR_TRY(
        value(ask({{"call", kBegin}, {"executor", std::string(executor)}, {"to", to.value}})));
    return deserialize_move(bytes_of(answer));
  }
  Result<std::shared_ptr<FrozenExecutor>> freeze(const MoveKey& key) override {
    const Json answer = CHOIR_TRY(value(ask(call(kFreeze, key))));
    return std::make_shared<FrozenExecutor>(CHOIR_TRY(deserialize_frozen(bytes_of(answer))));
  }
  Status thaw(const MoveKey& key) override { return status(ask(call(kThaw, key))); }
  Status forget(const MoveKey& key) override { return status(ask(call(kForget, key))); }
  Status expect(const ExecutorMove& move) override {
    return status(ask({{"call", kExpect}, {"move", as_bytes(serialize(move))}}));
  }
  Status adopt(FrozenExecutor& frozen) override {
    return status(ask({{"call", kAdopt}, {"frozen", as_bytes(serialize(frozen))}}));
  }
  Result<Withdrawn> withdraw(const MoveKey& key) override {
    const Json answer = CHOIR_TRY(value(ask(call(kWithdraw, key))));
    return static_cast<Withdrawn>(answer.get<int>());
  }

 private:
  using Json = nlohmann::json;
  enum Call { kCancel, kBegin, kFreeze, kThaw, kForget, kExpect, kAdopt, kWithdraw };

  static Json as_bytes(const std::string& bytes) { return cbor_fields::to_json(bytes); }
  static std::string bytes_of(const Json& json) {
    std::string bytes;
    EXPECT_TRUE(cbor_fields::from_json(json, bytes));
    return bytes;
  }
  static Json call(Call what, const MoveKey& key) {
    return {{"call", what}, {"executor", key.executor}, {"epoch", key.epoch.value}};
  }
  bool happens(unsigned of_100) { return dice_() % 100 < of_100; }

  // The bytes that come back; an error: none did.
  Result<std::string> ask(const Json& asked) {
    std::string message;
    Json::to_cbor(asked, message);
    if (!late_.empty() && happens(30)) deliver_late();
    if (happens(link.lost)) {
      ++counts.lost;
      return tl::unexpected(unanswered("the call was lost"));
    }
    if (happens(link.late)) {
      ++counts.late;
      late_.push_back(message);
      return tl::unexpected(unanswered("the call is late"));
    }
    std::string answer = serve(message);
    if (happens(link.repeated)) {
      ++counts.repeated;
      std::string second = serve(message);
      if (happens(link.answer_twice)) answer = std::move(second);
    }
    if (happens(link.answer_lost)) {
      ++counts.lost;
      return tl::unexpected(unanswered("the answer was lost"));
    }
    return answer;
  }
  static Result<Json> value(const Result<std::string>& answer) {
    if (!answer) return tl::unexpected(answer.error());
    Json read = Json::from_cbor(*answer);
    if (!read.contains("code")) return read.at("value");
    Error error{static_cast<Code>(read.at("code").get<int>()),
                read.at("message").get<std::string>()};
    if (read.at("unanswered").get<bool>()) error = unanswered(error.message);
    return tl::unexpected(error);
  }
  static Status status(const Result<std::string>& answer) {
    CHOIR_TRY(value(answer));
    return {};
  }

  // ---- the other side
  static Json answer_of(const Status& status) {
    if (status) return {{"value", 0}};
    return error_of(status.error());
  }
  static Json error_of(const Error& error) {
    return {{"code", static_cast<int>(error.code)},
            {"message", error.message},
            {"unanswered", is_unanswered(error)}};
  }
  template <class T, class Pack>
  static Json answer_of(const Result<T>& result, Pack pack) {
    if (!result) return error_of(result.error());
    return {{"value", pack(*result)}};
  }
  Json carry_out(const Json& asked) {
    const auto key = [&] {
      return MoveKey{asked.at("executor").get<std::string>(),
                     {asked.at("epoch").get<std::uint64_t>()}};
    };
    switch (asked.at("call").get<int>()) {
      case kCancel:
        return answer_of(inner_.cancel({asked.at("id").get<std::uint64_t>()}));
      case kBegin:
        return answer_of(inner_.begin_move(asked.at("executor").get<std::string>(),
                                           {asked.at("to").get<std::uint64_t>()}),
                         [](const ExecutorMove& move) { return as_bytes(serialize(move)); });
      case kFreeze:
        return answer_of(inner_.freeze(key()),
                         [](const auto& frozen) { return as_bytes(serialize(*frozen)); });
      case kThaw:
        return answer_of(inner_.thaw(key()));
      case kForget:
        return answer_of(inner_.forget(key()));
      case kExpect:
        return answer_of(inner_.expect(deserialize_move(bytes_of(asked.at("move"))).value()));
      case kAdopt: {
        FrozenExecutor frozen = deserialize_frozen(bytes_of(asked.at("frozen"))).value();
        return answer_of(inner_.adopt(frozen));
      }
      default:
        return answer_of(inner_.withdraw(key()),
                         [](Withdrawn withdrawn) { return Json(static_cast<int>(withdrawn)); });
    }
  }
  std::string serve(const std::string& message) {
    std::string bytes;
    Json::to_cbor(carry_out(Json::from_cbor(message)), bytes);
    return bytes;
  }

  NodeSeam& inner_;
  std::mt19937& dice_;
  std::vector<std::string> late_;
};

}  // namespace choir

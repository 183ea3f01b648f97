#include "runtime/node_seam.h"

#include <utility>

namespace choir {
namespace {

constexpr std::string_view kUnanswered = "unanswered";  // the name of a fact

// Of a link that answers at all; how long to wait for an answer is the link's.
constexpr int kAttempts = 8;

template <class Call>
auto until_answered(Call call) {
  for (int attempt = 1;; ++attempt) {
    auto answer = call();
    if (answer || !is_unanswered(answer.error()) || attempt == kAttempts) return answer;
  }
}

// The new node will not have it; then the old one goes on. The error to tell, or none: the new one
// has it after all.
std::optional<Error> give_up(NodeSeam& from, NodeSeam& to, const MoveKey& key, Error why) {
  const auto withdrawn = until_answered([&] { return to.withdraw(key); });
  if (!withdrawn) return withdrawn.error();
  if (*withdrawn == NodeSeam::Withdrawn::kAdopted) return std::nullopt;
  const Status thawed = until_answered([&] { return from.thaw(key); });
  if (!thawed) return thawed.error();
  return why;
}

}  // namespace

Error unanswered(std::string message) {
  return {Code::kUnavailable, std::move(message), {Fact::of(kUnanswered, 1)}};
}

bool is_unanswered(const Error& error) { return error.fact(kUnanswered).has_value(); }

Status move_executor(NodeSeam& from, NodeSeam& to, std::string_view executor,
                     const std::function<void()>& moved) {
  if (from.node() == to.node()) return {};
  const ExecutorMove move =
      CHOIR_TRY(until_answered([&] { return from.begin_move(executor, to.node()); }));
  const MoveKey key = move.key();
  const auto adopted = [&]() -> Status {
    CHOIR_CHECK_OK(until_answered([&] { return to.expect(move); }));
    const auto frozen = CHOIR_TRY(until_answered([&] { return from.freeze(key); }));
    return until_answered([&] { return to.adopt(*frozen); });
  }();
  if (!adopted)
    if (auto error = give_up(from, to, key, adopted.error()))
      return tl::unexpected(*std::move(error));
  if (moved) moved();
  return until_answered([&] { return from.forget(key); });
}

}  // namespace choir

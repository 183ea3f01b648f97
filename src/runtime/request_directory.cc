#include "runtime/request_directory.h"

#include <random>

#include "runtime/request_state.h"

namespace choir {
namespace {

std::uint64_t random_first() {
  std::random_device random;
  const std::uint64_t high = random();
  return ((high << 32U | random()) >> 2U) + 1;  // 0 is no request
}

// Calls use(RequestHome&) of the node that has it, until that says that it is there. False: it has
// ended.
template <class Use>
bool reach(const RequestState& request, Use use) {
  while (!request.finished()) {
    const RequestPlace place = request.place();
    bool there = false;
    const bool open = place.home->with([&](RequestHome& home) { there = use(home); });
    if (there) return true;
    // It has moved, has ended, or was left behind by a node that has.
    if (!open && request.place() == place) return false;
  }
  return false;
}

}  // namespace

std::shared_ptr<RequestDirectory> RequestDirectory::of_process() {
  // Not destroyed at exit: a node in a static variable of the program may end after it.
  static auto& shared = *new Guarded<std::weak_ptr<RequestDirectory>>;
  return shared.with([](std::weak_ptr<RequestDirectory>& known) {
    auto directory = known.lock();
    if (!directory) {
      directory = std::make_shared<RequestDirectory>(random_first());
      known = directory;
    }
    return directory;
  });
}

void RequestDirectory::enter(const std::shared_ptr<RequestState>& request) {
  requests_.with([&](auto& all) { all.emplace(request->id, request); });
}

void RequestDirectory::leave(RequestId id) {
  requests_.with([&](auto& all) { all.erase(id); });
}

std::shared_ptr<RequestState> RequestDirectory::find(RequestId id) const {
  return requests_.with([&](const auto& all) {
    const auto found = all.find(id);
    return found == all.end() ? nullptr : found->second.lock();
  });
}

// An executor that takes a request over looks at `cancelled` in its first turn, so it is enough to
// tell the node that has it now.
void cancel_wherever_it_is(RequestState& request) {
  request.cancelled.store(true);
  request.place().home->with([&](RequestHome& home) { home.cancelled(request); });
}

bool post_wherever_it_is(const RequestState& request, const RequestJob& job) {
  return reach(request, [&](RequestHome& home) { return home.post(request, job); });
}

void open_wherever_it_is(const RequestState& request, const Opener& open) {
  reach(request, [&](RequestHome& home) { return home.open(request, open); });
}

void refuse_wherever_it_is(const RequestState& request, const Error& error) {
  reach(request, [&](RequestHome& home) { return home.refuse(request, error); });
}

}  // namespace choir

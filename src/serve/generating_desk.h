// A generating request on its way into the node: from its body to what the node has taken.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "choir/node.h"
#include "serve/api_error.h"
#include "serve/by_door.h"
#include "serve/dialect.h"
#include "serve/http.h"
#include "serve/replicas.h"
#include "serve/services.h"

namespace choir::serve {

// The stop string that ended each choice. A dispatcher writes it before the choice's end can be
// taken.
using StopStrings = Guarded<std::vector<std::string>>;

// What headers tell of a request whose model is known: that it has no chat template of its own, and
// to what max_tokens was lowered.
struct Limits {
  bool chat = false;
  std::optional<std::int32_t> max_tokens = {};  // that was asked for
};
// `prompt_tokens`: of the longest prompt. Pure.
std::vector<Header> headers_of(const Limits& limits, const ExecutorInfo& executor,
                               std::int32_t prompt_tokens);

// A request that the node has taken, with all of its choices.
struct Accepted {
  std::string model = {};     // as the answer names it
  std::string executor = {};  // that answers
  std::vector<Submission> choices = {};
  std::vector<std::string> prompt_fields = {};  // of the request, for each of its prompts
  std::unique_ptr<Writer> writer = {};
  std::shared_ptr<StopStrings> stops = {};  // nullptr: nobody asks for them
  bool loads = false;                       // its model was not in memory
  bool stream = false;
  std::vector<Header> headers = {};
  std::optional<Limits> late = {};  // of the headers that are not known before the model is loaded
};

// Cancels all of them; those that have ended stay as they are. Any thread; does not block.
void cancel_all(Node& node, std::span<const Submission> choices);

// Shared by the work on the loop and the door thread that submits for it.
class GeneratingDesk : public std::enable_shared_from_this<GeneratingDesk> {
 public:
  // What the door thread leaves for the loop.
  struct Slot {
    std::optional<ApiError> error = {};
    std::string refused_by = {};  // beside an error: the model, where it was known
    std::optional<Accepted> accepted = {};
  };

  // `dialect` outlives it. `wake` is called when there is something in the slot, and when a choice
  // has news.
  GeneratingDesk(const Services& services, const Dialect& dialect, HttpRequest request, Wake wake);

  // ---- any thread; none blocks
  void begin() { post(Door::kQuick, &GeneratingDesk::open); }
  // The client has gone. What is not submitted yet never is; what is, is cancelled.
  void leave();
  // What is in the slot, which is empty then.
  Slot take();
  void refuse(ApiError error);

 private:
  void post(Door door, void (GeneratingDesk::*step)());
  // On a door thread, one after another.
  void open();
  void find_model();
  void arrive();
  void check_load();
  void submit();
  void submit_to(const Result<ExecutorInfo>& info);
  std::optional<ApiError> missing() const;
  ApiResult<Accepted> accept(const ExecutorInfo& info);
  std::string prompt_field(std::size_t prompt) const;
  ApiResult<std::vector<Prepared>> prepare_all(std::vector<Request> requests) const;
  std::vector<Callbacks> callbacks_of(std::size_t count) const;
  std::shared_ptr<StopStrings> watch_stops(const std::vector<std::string>& stops,
                                           std::vector<Callbacks>& callbacks) const;

  const Services services_;
  const Dialect& dialect_;
  HttpRequest request_;
  const Wake wake_;
  Asked asked_;
  std::string model_;  // that the request names
  Sent sent_;          // to the executor that answers
  std::atomic<bool> gone_{false};
  Guarded<Slot> slot_;
};

}  // namespace choir::serve

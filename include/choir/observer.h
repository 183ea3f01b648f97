// An object that is told what a node does, for metrics: NodeConfig::observer.
//
// Threads: each function says which thread calls it; several call at once, also the same function.
// None may block, wait, or call the node (locks of the node are held in some of them): it counts
// and returns. What on_step() takes is added to every pass of every executor, so it should take
// less than a microsecond. What a function throws is caught, and the first of it is logged.
//
// Lifetime: the node holds it until all threads that call it have ended, and then lets go of it on
// a thread that may join others, as it does with itself. While the process exits nothing of a node
// is destroyed, and after its callbacks have ended no function of it is called any more.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/request.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

// The views in these structs are valid during the call.
struct RequestEnded {
  RequestId id;
  std::string_view executor;
  std::string_view tenant;
  Priority priority = Priority::kNormal;  // as submitted
  Finish finish = Finish::kFailed;
  std::optional<Code> error;  // of those that did not end by themselves
  Usage usage;
};

// One forward pass that was computed, with sampling. Passes that were aborted or failed are none.
struct StepDone {
  // What of the pass was of one tenant and class: its sequences.
  struct Part {
    std::string_view tenant;
    Priority priority = Priority::kNormal;
    std::int32_t rows = 0;
  };
  std::string_view executor;
  double seconds = 0;
  std::array<std::int32_t, kPriorityNames.size()> rows = {};  // sequences in it, by class
  std::int32_t prompt_tokens = 0;    // computed, in slices of more than one; of embeddings all
  std::int32_t output_tokens = 0;    // drawn
  std::span<const Part> parts = {};  // together `rows`; each tenant and class once
};

struct LoadDone {
  std::string_view executor;
  double seconds = 0;            // measuring, making room and warming up included
  const Error* error = nullptr;  // null: it is in memory
};

struct ExecutorLeft {
  enum class Why : std::uint8_t {
    kAsked,    // unload()
    kEvicted,  // to make room for another one
    kRemoved,  // remove()
    kMoved,    // migrate(); its new node tells of a load
    kUnheld,   // its last lease has ended: hold(), release()
  };
  std::string_view executor;
  Why why = Why::kAsked;
};

class CHOIR_API Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer();

  // A request that was accepted has ended: on a dispatcher, after its on_done and before its future
  // is ready. Once for each; those that were refused at once are not told. A request that has moved
  // is told by the node where it ends.
  virtual void on_request_ended(const RequestEnded& request);
  // On the lane that computed it, which goes on when this returns.
  virtual void on_step(const StepDone& step);
  // On the thread that loads. Also for a load that failed.
  virtual void on_load(const LoadDone& load);
  // An executor has left memory, on the thread that took it out. Executors that are in memory when
  // their node ends are not told.
  virtual void on_left(const ExecutorLeft& left);
};

}  // namespace choir

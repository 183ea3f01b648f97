// What a node is to callers that give it requests and move executors to it: the calls that a node
// on another machine has to answer as well. Runtime, the node of this process, implements it.
//
// Requests. The text of a request is taken from the Submission that submit() returns (its stream,
// its callbacks, its future). It stays with that Submission when the request moves to another node.
//
// Moves. An executor moves with everything that runs in it, in these steps (move_executor() takes
// them):
//
//   begin_move()  old node  gives the epoch of the move and what the new node has to load
//   expect()      new node  loads it; a request that comes there by its name waits
//   freeze()      old node  stops it and gives all that is in it as a value
//   adopt()       new node  takes the value and goes on; the answer is the acknowledgement
//   forget()      old node  drops what it kept
//   withdraw()    new node  will not adopt in this move any more, or says that it has
//   thaw()        old node  goes on itself
//
// Every request is in one node at any time: until forget() or thaw() the old one keeps what it
// gave away and computes nothing of it, and it goes on only after the new one has withdrawn. So
// each call may be lost, come late or come twice: the same call with the same epoch has the effect
// of one and gives the same answer, and one of an epoch that is over is refused. A node holds its
// own locks only, and none of them while it waits for the other.
//
// Any thread may call; inside callbacks only cancel() and look(). A call of a move blocks for what
// it does: a load (expect), the pass that runs (freeze), ends that are being told (forget).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "choir/node.h"
#include "choir/result.h"
#include "core/frozen_executor.h"
#include "core/kv_state.h"
#include "policy/route.h"
#include "runtime/request_state.h"

namespace choir {

struct Continuation;  // runtime/active_requests.h

// Whether a request waits for open_gate() before it computes.
enum class Gated : bool { kNo, kYes };

class NodeSeam {
 public:
  NodeSeam() = default;
  NodeSeam(const NodeSeam&) = delete;
  NodeSeam& operator=(const NodeSeam&) = delete;
  virtual ~NodeSeam() = default;

  // Two of the same number are the same node.
  virtual NodeId node() const = 0;

  // ---- Requests.
  // As Node::submit(). It has no epoch: where its answer is lost the caller cannot know whether the
  // request runs, so an implementation asks again over the same connection, or says that it failed.
  virtual Result<Submission> submit(const Request& request, Callbacks callbacks,
                                    Continuation continuation, Gated gated) = 0;
  // As Node::cancel(). The request is found wherever in this process it is.
  virtual Status cancel(RequestId id) = 0;
  // What route() may know of an executor; nullopt: it takes no requests. `key`: the conversation
  // that the request is of.
  virtual std::optional<ReplicaView> look(std::string_view executor, ConversationKey key) const = 0;

  // ---- A move, at the node where the executor is.
  // A move that has begun and has not ended goes on with its epoch. kOverloaded: it is frozen in a
  // move to another node than `to`, which may have it. kNotFound: no such executor.
  virtual Result<ExecutorMove> begin_move(std::string_view executor, NodeId to) = 0;
  // The same value for each call; the node that adopts may take out what is in it. kNotFound: the
  // executor is in no such move, or is leaving otherwise. kOverloaded: its configuration was just
  // changed.
  virtual Result<std::shared_ptr<FrozenExecutor>> freeze(const MoveKey& key) = 0;
  // The move has ended here and there. No error for one that has ended already.
  virtual Status thaw(const MoveKey& key) = 0;
  // The new node has it. No error for a move that has ended already.
  virtual Status forget(const MoveKey& key) = 0;

  // ---- A move, at the node to which the executor goes.
  // As Node::add(). kCancelled: the move has ended.
  virtual Status expect(const ExecutorMove& move) = 0;
  // What is in `frozen` may be taken out where the answer is no error. A refusal leaves all of it.
  // kCancelled: it is not expected. kInvalidArgument: it is of other weights.
  virtual Status adopt(FrozenExecutor& frozen) = 0;
  enum class Withdrawn : std::uint8_t {
    kYes,
    kAdopted,  // no: it has adopted the executor in this move
  };
  virtual Result<Withdrawn> withdraw(const MoveKey& key) = 0;
};

// What an implementation returns where the other node has not answered: whether the call has come
// is not known. move_executor() then asks again.
Error unanswered(std::string message);
bool is_unanswered(const Error& error);

// Moves an executor. `moved` is called when everything is in the new node and the name is still
// known in the old one; it may be called again where a move that was not ended is taken up.
//
// On an error the executor is in its old node and runs there, with two exceptions, both of an error
// that is_unanswered(). If `moved` was called, the executor is in the new node, and the old one has
// not been told yet. If it was not, the executor may be frozen, since the new node may have it; its
// requests wait then, and so do shutdown() and the end of the old node. The same call ends both
// when the nodes answer again; it is kNotFound where the old node was told after all.
//
// Blocks as the calls of a move do; not for a callback's thread.
Status move_executor(NodeSeam& from, NodeSeam& to, std::string_view executor,
                     const std::function<void()>& moved = {});

}  // namespace choir

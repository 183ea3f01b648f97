// What goes from one node to another when an executor moves: plain values, and their bytes.
//
// A move has an epoch, which rises with every move of an executor. So a node recognizes a message
// of the move that it is in, one that comes again, and one of an earlier move
// (runtime/node_seam.h). A frozen executor is everything that was in it, without the weights:
// whoever has the value can go on with every request, with the same tokens. Times are spans, since
// two nodes have two clocks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/config.h"
#include "choir/embedding.h"
#include "choir/ids.h"
#include "choir/request.h"
#include "choir/result.h"
#include "core/kv_state.h"
#include "core/sequence.h"

namespace choir {

using NodeId = Id<struct NodeTag>;  // unique in the process
using Epoch = Id<struct EpochTag>;  // {0}: no move

// Names a move.
struct MoveKey {
  std::string executor;
  Epoch epoch;
  bool operator==(const MoveKey&) const = default;
};

// What the new node has to know before anything comes.
struct ExecutorMove {
  Epoch epoch;
  ExecutorConfig config;
  MoveKey key() const { return {config.name, epoch}; }
  bool operator==(const ExecutorMove&) const = default;
};

// A request that generates, as runtime/live_sequence.h has it. Its KV state is in `kv`.
struct FrozenSequence {
  Sequence value;                    // deadline_left_ns is set
  bool gated = false;                // waits for others with which it is to begin
  bool begun = false;                // was in a pass
  Priority lifted = Priority::kLow;  // the best class that waiting has earned it
  std::int64_t age_ns = 0;           // since it was submitted
  std::int64_t idle_ns = 0;          // since it was last in a pass
  std::int64_t behind_ns = -1;       // since its reader is too far behind; -1: it is not
  // Generated, where nobody reads it before the end. Of a request with a reader the text is where
  // the reader is, and `value.next_event` counts what was told of it.
  std::string text;
  Usage usage;
  std::int64_t first_token_ns = 0;  // computed in passes until there was one
  ConversationKey conversation;     // its KV state is kept at the end; {0}: not
  std::string kv;                   // empty: none, and all of it is computed again
  std::int32_t kv_tokens = 0;       // that it holds
  std::int32_t kv_use = 0;          // of those, the first ones that are this sequence's
  bool reusing = false;             // `kv` is of an earlier request
  bool operator==(const FrozenSequence&) const = default;
};

// A request to embed.
struct FrozenEmbedding {
  RequestId request;
  std::vector<std::vector<TokenId>> texts;
  std::vector<Embedding> embeddings;  // of each text; vectors of those before `next`
  std::uint64_t next = 0;             // the first text that is not computed
  bool gated = false;                 // waits for others with which it is to begin
  bool operator==(const FrozenEmbedding&) const = default;
};

// A request that was accepted and that no executor has taken yet.
struct FrozenArrival {
  RequestId id;
  Request request;                         // to generate
  std::optional<EmbedRequest> embed = {};  // or this one, to embed; the rest is not used then
  std::vector<TokenId> tokens = {};        // none: not known yet
  std::string model_fingerprint = {};      // whose tokens these are
  ConversationKey conversation = {};       // as in FrozenSequence
  KvState kv = {};                         // to begin with; a blob that is empty: none
  // Its prompt is made when its executor is in memory, by the node to which it was given: the
  // request itself knows how (RequestState::late).
  bool late = false;
  bool awaited = false;  // not before an earlier turn of its conversation has ended
  bool operator==(const FrozenArrival&) const = default;
};

// A tenant that holds the executor in memory.
struct FrozenLease {
  std::string tenant;
  std::int64_t left_ns = -1;  // -1: for ever
  bool operator==(const FrozenLease&) const = default;
};

// What was counted, and goes on.
struct FrozenCounts {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::uint64_t requests_done = 0;
  std::uint64_t requests_failed = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t aborts = 0;
  std::uint64_t reused_tokens = 0;
  double seconds_per_prompt_token = 0;
  double seconds_per_output_token = 0;
  double compute_seconds = 0;
  bool operator==(const FrozenCounts&) const = default;
};

struct FrozenExecutor {
  MoveKey key;
  std::string model_fingerprint;  // of the weights; empty: it was not in memory
  bool suspended = false;
  FrozenCounts counts;
  std::vector<FrozenLease> leases;
  bool let_go = false;  // a lease has ended since it was loaded (policy/hold.h)
  std::vector<FrozenSequence> sequences;
  std::vector<FrozenEmbedding> embeddings;
  std::vector<FrozenArrival> arrivals;
  std::map<ConversationKey, KvState> kept;  // of conversations
  bool operator==(const FrozenExecutor&) const = default;
};

// Bytes: "CHFZ" or "CHMV", format version, parts with their lengths (CBOR, and KV state as it is),
// XXH3 of all before it; integers little endian. The same value gives the same bytes. Never fails.
std::string serialize(const FrozenExecutor& frozen);
std::string serialize(const ExecutorMove& move);

// kInvalidArgument with what is wrong: of another kind or version, torn, or with values that no
// node gives. As deserialize() of a sequence: any bytes may come in.
Result<FrozenExecutor> deserialize_frozen(std::string_view bytes);
Result<ExecutorMove> deserialize_move(std::string_view bytes);

}  // namespace choir

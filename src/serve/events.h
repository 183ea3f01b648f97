// What happens in the daemon, for those who watch: models and node (topic `state`), requests, turns
// of the lanes, and lines of the log.
//
// While somebody watches, a door thread looks at the node four times a second, less often for many
// readers and where nothing happens, and makes one frame for each topic that has changed; all
// readers share its bytes. Readers of requests see those of their tenant, or all with the scope
// admin; readers of one kind share. Many readers are woken one part after another, over the time
// between two looks, so that they hold up no other connection. With no reader there is no timer and
// nothing is looked at.
//
// The frames of the last 30 s are kept, so that a reader whose connection broke gets only those
// that it has missed.
//
// Functions are called on the loop thread where nothing else is said.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/log.h"
#include "choir/node.h"
#include "serve/client_rights.h"
#include "serve/doors.h"
#include "serve/frames.h"
#include "serve/http.h"
#include "serve/queue_places.h"
#include "serve/replicas.h"
#include "serve/shown_whys.h"
#include "serve/turns_seen.h"

namespace choir::serve {

// Each is a bit.
using Topics = std::uint8_t;
inline constexpr Topics kStateTopic = 1;
inline constexpr Topics kRequestsTopic = 2;
inline constexpr Topics kLogTopic = 4;
inline constexpr Topics kTurnsTopic = 8;

inline constexpr Nanos kEventTick = std::chrono::milliseconds(250);
// How many ticks pass from one look at the node to the next: 1 for up to 64 readers, then in
// proportion to their number, at most 32, which are 8 s: less than from one `ping` to the next. A
// frame costs some 15 us for each reader, so the readers together take at most a few per cent of a
// core. Pure; any thread.
int ticks_between_looks(std::size_t readers);
// Where nothing has changed in so many looks and there are no more than 64 readers, ticks are twice
// as long until something does.
inline constexpr int kQuietLooks = 8;
inline constexpr Nanos kQuietTick = 2 * kEventTick;

// How long frames are kept for readers that come back, and of how many bytes at most.
inline constexpr Nanos kFramesKept = std::chrono::seconds(30);
inline constexpr std::size_t kFramesKeptBytes = 4U << 20U;

class Events : public std::enable_shared_from_this<Events> {
 public:
  // Calls work on the loop after a time.
  using After = std::function<void(Nanos, std::function<void()>)>;
  // `node`, `replicas` and `doors` outlive all work that is posted to `doors`; the clock outlives
  // this object. In a shared_ptr.
  Events(Node& node, const Replicas& replicas, Doors& doors, const Clock& clock, After after)
      : node_(node), replicas_(replicas), doors_(doors), clock_(clock), after_(std::move(after)) {}
  ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  // A new reader; the frames that it takes first are a snapshot, which is made at once, of what the
  // last look has seen if others watch already. `wake` is called when there are some. `since`: the
  // number of the last frame that it has got, with the same topics and rights; then the first
  // frames are those that it has missed, if all of them are still known. 0: none.
  std::uint64_t join(Topics topics, const Client& client, Wake wake, std::uint64_t since = 0);
  // Whether the reader goes on after its `since`, without a snapshot.
  bool resumed(std::uint64_t reader) const;
  void leave(std::uint64_t reader);
  // The next frame; null: there is none now.
  Frame take(std::uint64_t reader);
  // The daemon takes no new work: readers say goodbye.
  bool ended() const;

 private:
  struct Reader {
    Topics topics = 0;
    std::string audience;  // of requests
    Wake wake;
    FrameQueue queue;
    bool wakes_soon = false;  // it is in State::to_wake
    bool resumed = false;
  };
  // A frame that was made, for readers that come back.
  struct Kept {
    std::uint64_t number = 0;
    Topics topic = 0;
    std::string audience;  // of requests
    Frame frame;
  };
  using Numbers = std::map<std::string, std::uint64_t>;
  struct State {
    std::map<std::uint64_t, Reader> readers;
    std::uint64_t last_reader = 0;
    std::deque<std::uint64_t> to_wake;  // readers that have frames; one that has left may be there
    std::size_t wakes_each_tick = 0;
    bool ticking = false;
    int ticks_to_look = 0;         // until the node is looked at
    int quiet_looks = 0;           // at the node, one after the other, that saw no change
    bool snapshot_wanted = false;  // by a reader that no look knows of
    bool newcomer = false;         // that reader has just come
    bool looking = false;          // a door thread has, or will have, look()
    bool ended = false;
    std::vector<std::string> lines;  // JSON of log lines that nobody has been told of
    std::uint64_t lines_dropped = 0;

    std::deque<std::pair<Instant, Kept>> kept;  // oldest first
    std::size_t kept_bytes = 0;
    std::uint64_t forgotten = 0;  // the number of the last frame that is not kept any more
    std::uint64_t newest = 0;     // the number of the last frame
    Numbers tables;               // of requests, by audience: the frame with which each begins
  };
  // kSnapshots: of what the last look has seen, for new readers.
  enum class Look : std::uint8_t { kNone, kSnapshots, kNode };
  // What a look needs to know of the readers.
  struct Wanted {
    Look look = Look::kNode;
    Topics topics = 0;
    std::map<std::string, bool> audiences;  // of requests; whether a snapshot is wanted
    bool state_snapshot = false;
    bool turns_snapshot = false;
    std::vector<std::string> lines;
    std::uint64_t lines_dropped = 0;
  };
  // A frame of a snapshot: of several topics only the last one has a number, because a reader that
  // got no further cannot go on behind it. Null: there is none.
  struct Whole {
    Frame part;
    Frame last;
  };
  // The frames of one look. Null: there is none.
  struct Made {
    Frame state;
    Whole state_whole;
    std::map<std::string, Frame> requests;
    std::map<std::string, Whole> requests_whole;
    Frame log;
    Frame turns;
    Whole turns_whole;
    std::vector<Kept> kept;
    Numbers tables;
    std::uint64_t newest = 0;
  };

  // An audience: kAll sees the requests of all, any other is "=" and its tenant.
  static constexpr std::string_view kAll = "*";
  static std::string audience_of(const Client& client);

  void tick();
  void post(Look look);      // any thread; `looking` is set
  void look_for_newcomer();  // any thread
  static Look next_look(State& s, bool node_ends);
  static Nanos next_tick(const State& s);
  void look(Look what, Instant now);  // on a door thread, one at a time
  Wanted wanted(Look what);
  bool knows_all(const Wanted& wanted) const;
  Made make(const Wanted& wanted);
  void see_node(const Wanted& wanted, Made& made);
  void see_state(Made& made);
  void see_requests(const Wanted& wanted, Made& made);
  Whole whole_of(const std::string& data, std::string_view event = "snapshot");
  // A frame with the next number, which is kept.
  Frame keep(Made& made, Topics topic, const std::string& audience, std::string_view event,
             std::string_view data);
  void hand_out(const Made& made, Look what, bool ended, Instant now);
  static void forget_old(State& s, Instant now);
  static bool resume(State& s, Reader& reader, std::uint64_t since);
  static void feed(Reader& reader, const Made& made);
  static std::vector<Wake> next_wakes(State& s);
  void watch_log(bool on);
  void log_line(LogLevel level, std::string_view line);  // any thread

  Node& node_;
  const Replicas& replicas_;
  Doors& doors_;
  const Clock& clock_;
  const After after_;
  Guarded<State> state_;

  // Of look() alone.
  std::uint64_t frame_ = 0;
  TurnsSeen turns_;
  bool knows_state_ = false;  // the table is that of the last look
  TableFrames state_table_{"state", "name"};
  std::map<std::string, TableFrames> request_tables_;  // by audience
  Numbers table_begins_;                               // by audience: the frame before its first
  std::map<std::string, std::int64_t> submitted_ms_;   // by id of a request
  QueuePlaces places_;
  ShownWhys whys_;
};

}  // namespace choir::serve

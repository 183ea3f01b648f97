// The frames of GET /choir/v1/events: what changed in a table of rows since it was last told, and
// the queue of one reader that may be slow.
//
// A frame is a whole server-sent event, made once and shared by all who read it. Plain objects
// without locks: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/json_in.h"

namespace choir::serve {

using Frame = std::shared_ptr<const std::string>;

// "event: NAME", "id: NUMBER" and the data, as one event.
Frame frame_of(std::string_view event, std::uint64_t number, std::string_view data);

// Without a number: a reader that has got no more than this cannot go on behind it.
Frame frame_of(std::string_view event, std::string_view data);

// A table as its readers know it.
class TableFrames {
 public:
  struct Table {
    std::map<std::string, Json> rows = {};  // by key; objects that have the key as a member, too
    std::string rest = {};                  // JSON of what is beside the rows; empty: nothing
    bool operator==(const Table&) const = default;
  };
  // `key`: the name of the member that is the key of a row.
  TableFrames(std::string topic, std::string key)
      : topic_(std::move(topic)), key_(std::move(key)) {}

  // From now on the table is `table`. The data of the frame that tells what changed:
  // {"topic", "set": [rows], "changed": [parts of rows], "gone": [keys], "rest"}; empty: nothing
  // did. "changed" has of a row the key and the members that have another value. A row that lacks a
  // member it had is in "set".
  std::string change_to(Table table);
  // The data of a frame with the whole table: {"topic", "rows": [...], "rest"}.
  std::string whole() const;

 private:
  const std::string topic_;
  const std::string key_;
  Table table_;
};

// Frames that a reader has not taken. When it is too far behind, all of them are dropped, and it
// begins anew with a snapshot once it reads again.
class FrameQueue {
 public:
  static constexpr std::size_t kBytesMax = 1U << 20U;
  static constexpr std::size_t kFramesMax = 16;  // a few seconds: then a snapshot tells it in less

  // Whether the next frames are to be a snapshot.
  bool wants_snapshot() const { return wants_snapshot_; }
  // Frames of a snapshot; they are taken however long they are.
  void begin(const std::vector<Frame>& snapshot);
  // All frames are dropped, and a snapshot is to come.
  void begin_anew();
  // A delta. Dropped while the reader waits for a snapshot.
  void add(const Frame& frame);
  bool empty() const { return frames_.empty(); }
  // The oldest; null: there is none.
  Frame take();

 private:
  std::deque<Frame> frames_;
  std::size_t bytes_ = 0;
  bool behind_ = false;  // frames were dropped
  bool wants_snapshot_ = true;
};

}  // namespace choir::serve

#include "serve/frames.h"

#include "serve/json_in.h"

namespace choir::serve {
namespace {

void append_item(std::string& list, std::string_view item) {
  if (!list.empty()) list += ',';
  list += item;
}

std::string data_of(const std::string& topic, const std::string& members, const std::string& rest) {
  std::string data = R"({"topic":")" + topic + "\"," + members;
  if (!rest.empty()) data += ",\"rest\":" + rest;
  return data + "}";
}

}  // namespace

Frame frame_of(std::string_view event, std::uint64_t number, std::string_view data) {
  std::string text = "event: ";
  text.append(event).append("\nid: ").append(std::to_string(number));
  text.append("\ndata: ").append(data).append("\n\n");
  return std::make_shared<const std::string>(std::move(text));
}

Frame frame_of(std::string_view event, std::string_view data) {
  std::string text = "event: ";
  text.append(event).append("\ndata: ").append(data).append("\n\n");
  return std::make_shared<const std::string>(std::move(text));
}

std::string TableFrames::change_to(Table table) {
  std::string set;
  std::string gone;
  for (const auto& [key, row] : table.rows) {
    const auto known = table_.rows.find(key);
    if (known == table_.rows.end() || known->second != row) append_item(set, row);
  }
  for (const auto& [key, row] : table_.rows)
    if (!table.rows.contains(key)) append_item(gone, to_text(Json(key)));
  const std::string rest = table.rest == table_.rest ? std::string() : table.rest;
  table_ = std::move(table);
  if (set.empty() && gone.empty() && rest.empty()) return {};
  return data_of(topic_, "\"set\":[" + set + "],\"gone\":[" + gone + "]", rest);
}

std::string TableFrames::whole() const {
  std::string rows;
  for (const auto& [key, row] : table_.rows) append_item(rows, row);
  return data_of(topic_, "\"rows\":[" + rows + "]", table_.rest);
}

void FrameQueue::begin(const std::vector<Frame>& snapshot) {
  frames_.assign(snapshot.begin(), snapshot.end());
  bytes_ = 0;
  for (const Frame& frame : frames_) bytes_ += frame->size();
  wants_snapshot_ = behind_ = false;
}

void FrameQueue::begin_anew() {
  frames_ = {};
  bytes_ = 0;
  behind_ = false;
  wants_snapshot_ = true;
}

void FrameQueue::add(const Frame& frame) {
  if (wants_snapshot_ || behind_) return;
  if (bytes_ + frame->size() > kBytesMax || frames_.size() >= kFramesMax) {
    frames_ = {};
    bytes_ = 0;
    behind_ = true;
    return;
  }
  frames_.push_back(frame);
  bytes_ += frame->size();
}

Frame FrameQueue::take() {
  if (frames_.empty()) {
    if (behind_) wants_snapshot_ = true;  // it reads again
    return nullptr;
  }
  Frame frame = std::move(frames_.front());
  frames_.pop_front();
  bytes_ -= frame->size();
  return frame;
}

}  // namespace choir::serve

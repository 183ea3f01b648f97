#include "serve/frames.h"

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

// Whether each member of `before` is one of `after`, too.
bool keeps_members(const Json& before, const Json& after) {
  for (const auto& item : before.items())
    if (!after.contains(item.key())) return false;
  return true;
}

// The members of `after` that are not so in `before`, and the one that names the row.
Json changes_of(const Json& before, const Json& after, const std::string& key) {
  Json changed = {{key, after.at(key)}};
  for (const auto& [name, value] : after.items()) {
    const auto known = before.find(name);
    if (known == before.end() || *known != value) changed[name] = value;
  }
  return changed;
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
  std::string changed;
  std::string gone;
  for (const auto& [key, row] : table.rows) {
    const auto known = table_.rows.find(key);
    if (known == table_.rows.end() || !keeps_members(known->second, row))
      append_item(set, to_text(row));
    else if (known->second != row)
      append_item(changed, to_text(changes_of(known->second, row, key_)));
  }
  for (const auto& [key, row] : table_.rows)
    if (!table.rows.contains(key)) append_item(gone, to_text(Json(key)));
  const std::string rest = table.rest == table_.rest ? std::string() : table.rest;
  table_ = std::move(table);
  if (set.empty() && changed.empty() && gone.empty() && rest.empty()) return {};
  std::string members = "\"set\":[" + set + "],";
  if (!changed.empty()) members += "\"changed\":[" + changed + "],";
  return data_of(topic_, members + "\"gone\":[" + gone + "]", rest);
}

std::string TableFrames::whole() const {
  std::string rows;
  for (const auto& [key, row] : table_.rows) append_item(rows, to_text(row));
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

#include "serve/yaml_in.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

#include "base/utf8.h"
#include "choir/text.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

tl::unexpected<Error> wrong_at(int line, const std::string& what) {
  return fail(Code::kInvalidArgument, std::to_string(line) + ": " + what);
}

// Makes the tree from the parser's events. What it does not take ends the parser by the parser's
// own exception, which parse_yaml() catches: an event cannot be refused in another way.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(const YamlLimits& limits) : limits_(limits) {}
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    begin(mark, "", anchor);
    if (waits_for_key()) stop(mark, "a key is missing before ':'");
    add({.line = mark.line + 1});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    stop(mark, "an alias (*) is not allowed");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    begin(mark, tag, anchor);
    if (waits_for_key()) return set_key(mark, value);
    add({.kind = YamlNode::Kind::kText,
         .line = mark.line + 1,
         .text = value,
         .quoted = tag == "!"});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that has not ended.
  struct Open {
    YamlNode node = {};
    bool has_key = false;  // of a map: the value of `key` comes next
    std::string key = {};
    int key_line = 0;
  };

  [[noreturn]] static void stop(const YAML::Mark& mark, const std::string& what) {
    throw YAML::ParserException(mark, what);
  }
  void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) stop(mark, "an anchor (&) is not allowed");
    if (!tag.empty() && tag != "?" && tag != "!")
      stop(mark, "the tag '" + printable_line(tag, kShown) + "' is not allowed");
    if (++values_ > limits_.values_max)
      stop(mark, "the file has more than " + std::to_string(limits_.values_max) + " values");
  }
  bool waits_for_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap &&
           !open_.back().has_key;
  }
  void set_key(const YAML::Mark& mark, const std::string& key) {
    Open& map = open_.back();
    for (const YamlNode& entry : map.node.items)
      if (entry.key == key)
        stop(mark, "'" + printable_line(key, kShown) + "' is there twice, first in line " +
                       std::to_string(entry.line));
    map.has_key = true;
    map.key = key;
    map.key_line = mark.line + 1;
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    begin(mark, tag, anchor);
    if (waits_for_key()) stop(mark, "a key takes a text");
    if (open_.size() >= limits_.depth_max)
      stop(mark, "it is nested deeper than " + std::to_string(limits_.depth_max));
    open_.push_back({.node = {.kind = kind, .line = mark.line + 1}});
  }
  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }
  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.has_key) {
      node.key = std::move(parent.key);
      node.line = parent.key_line;
      parent.has_key = false;
    }
    parent.node.items.push_back(std::move(node));
  }

  const YamlLimits limits_;
  YamlNode root_{.kind = YamlNode::Kind::kMap};
  std::vector<Open> open_;
  std::size_t values_ = 0;
};

int line_of(std::string_view text, std::size_t place) {
  return 1 + static_cast<int>(std::ranges::count(text.substr(0, place), '\n'));
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
}

Status check_bytes(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes_max)
    return wrong_at(1, "the file has " + std::to_string(text.size()) + " bytes, at most " +
                           std::to_string(limits.bytes_max) + " are allowed");
  if (const auto place = first_invalid_utf8(text))
    return wrong_at(line_of(text, *place), "the text is not UTF-8");
  const auto control = std::ranges::find_if(text, is_control);
  if (control != text.end())
    return wrong_at(line_of(text, static_cast<std::size_t>(control - text.begin())),
                    "there is a control character");
  return {};
}

}  // namespace

Result<YamlNode> parse_yaml(std::string_view text, const YamlLimits& limits) {
  CHOIR_CHECK_OK(check_bytes(text, limits));
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(limits);
    if (!parser.HandleNextDocument(builder)) return builder.take();
    Builder second(limits);
    if (parser.HandleNextDocument(second))
      return wrong_at(1, "the file has more than one document");
    return builder.take();
  } catch (const YAML::Exception& error) {
    return wrong_at(error.mark.is_null() ? 1 : error.mark.line + 1, error.msg);
  } catch (const std::exception& error) {
    return wrong_at(1, std::string("it cannot be read: ") + error.what());
  }
}

}  // namespace choir::serve

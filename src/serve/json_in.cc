#include "serve/json_in.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace choir::serve {
namespace {

// Looks at a text before it becomes values, so that memory is given only within the limits.
class Looker final : public nlohmann::json_sax<Json> {
 public:
  explicit Looker(const JsonLimits& limits) : limits_(limits) {}
  const std::string& wrong() const { return wrong_; }

  bool null() override { return count(); }
  bool boolean(bool /*value*/) override { return count(); }
  bool number_integer(std::int64_t /*value*/) override { return count(); }
  bool number_unsigned(std::uint64_t /*value*/) override { return count(); }
  bool number_float(double /*value*/, const std::string& text) override {
    if (text.size() > limits_.number_characters_max)
      return stop("a number has " + std::to_string(text.size()) + " characters, at most " +
                  std::to_string(limits_.number_characters_max) + " are allowed");
    return count();
  }
  bool string(std::string& /*value*/) override { return count(); }
  bool binary(Json::binary_t& /*value*/) override { return count(); }
  bool start_object(std::size_t /*members*/) override {
    keys_.emplace_back();
    return deeper() && count();
  }
  bool key(std::string& name) override {
    if (!keys_.back().insert(name).second)
      return stop("the key '" + name.substr(0, 64) + "' is there twice");
    return count();
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(std::size_t /*members*/) override { return deeper() && count(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& /*error*/) override {
    return stop("it is no JSON at byte " + std::to_string(position) +
                (token.empty()
                     ? ""
                     : ", near '" + token.substr(token.size() > 32 ? token.size() - 32 : 0) + "'"));
  }

 private:
  bool stop(std::string wrong) {
    if (wrong_.empty()) wrong_ = std::move(wrong);
    return false;
  }
  bool count() {
    return ++values_ <= limits_.values_max ||
           stop("it has more than " + std::to_string(limits_.values_max) + " values");
  }
  bool deeper() {
    return ++depth_ <= limits_.depth_max ||
           stop("it is nested deeper than " + std::to_string(limits_.depth_max));
  }

  const JsonLimits limits_;
  std::size_t depth_ = 0;
  std::size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::string wrong_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  Looker looker(limits);
  if (!Json::sax_parse(text, &looker))
    return fail(Code::kInvalidArgument, "the body cannot be used: " + looker.wrong());
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(Code::kInvalidArgument, "the body is no JSON");
  return json;
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace choir::serve

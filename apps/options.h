// How commands declare their options, and how a wrong command line is answered.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "choir/result.h"
#include "choir/units.h"

namespace choir::app {

// What the chosen command does; the value is the exit code, an Error becomes a sentence and a code.
using Run = std::function<Result<int>()>;

// One sentence on standard error; returns kExitUsage.
int usage_error(std::string_view sentence);
// What CLI11 found wrong, with the nearest known flag or command.
int usage_error(const CLI::App& root, const CLI::ParseError& error);

// The root of all commands, with our form of help.
void set_up(CLI::App& root);
// A subcommand with its description and examples ("choir run …", one per line).
CLI::App* add_command(CLI::App& root, const std::string& name, const std::string& description,
                      const std::string& examples);

// What is wrong with a number, or nothing: a check as CLI11 wants it.
template <class T>
std::string check_number(const std::string& text) {
  T value{};
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = end.ptr == text.data() + text.size() && !text.empty();
  if constexpr (std::is_floating_point_v<T>) {
    if (whole && end.ec == std::errc() && std::isfinite(value)) return {};
    return "takes a number, not '" + text + "'";
  } else {
    if (whole && end.ec == std::errc()) return {};
    if (whole && end.ec == std::errc::result_out_of_range)
      return "takes at most " + std::to_string(std::numeric_limits<T>::max()) + ", not " + text;
    return std::string("takes a whole number") + (std::is_unsigned_v<T> ? " from 0" : "") +
           ", not '" + text + "'";
  }
}

// One value; of several the last wins. `what` names it in help: N, TEXT, FILE.
template <class T>
CLI::Option* add_value(CLI::App& app, const std::string& names, T& target, const std::string& what,
                       const std::string& description) {
  CLI::Option* option = app.add_option(names, target, description)
                            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
                            ->type_name(what);
  if constexpr (std::is_arithmetic_v<T>) {
    option->check([](const std::string& text) { return check_number<T>(text); });
    option->capture_default_str();
  }
  return option;
}

// May be given several times, one value each time.
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& target,
                      const std::string& what, const std::string& description);

// Shared by many commands.
void add_json(CLI::App& app, bool& json);
void add_cores(CLI::App& app, std::int32_t& cores);
void add_kv_type(CLI::App& app, KvType& kv_type);

}  // namespace choir::app

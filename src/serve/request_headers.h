// The headers that routes of the scope infer read, beside the fields of a body: one row for each,
// from which reading, errors and the documentation come.
//
// Values; any thread.
#pragma once

#include <array>

#include "serve/shape.h"

namespace choir::serve {

inline constexpr BodyField kDeadlineHeader = {
    "x-deadline-ms",
    {Kind::kInteger, 1, 3'600'000},
    "Most milliseconds from its submission to its last token or vector; then 504"};
inline constexpr BodyField kPriorityHeader = {
    "x-priority", {Kind::kText, 0, 16}, "As the field priority", false, "PriorityName"};

inline constexpr std::array kRequestHeaders = {kDeadlineHeader, kPriorityHeader};

}  // namespace choir::serve

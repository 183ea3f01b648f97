// Lists in the query of a path.
//
// Pure: any thread, does not block.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"

namespace choir::serve {

// "topics" of "topics=a,b&x=1" -> {"a", "b"}; nullopt where it is not in the query. An error where
// the query has another field.
Result<std::optional<std::vector<std::string>>> list_in_query(std::string_view query,
                                                              std::string_view field);

}  // namespace choir::serve

// SHA-256 of a file, as 64 small hex digits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir {

// Told how far it is after every megabyte; false stops it.
using HashProgress = std::function<bool(std::uint64_t bytes_done)>;

// Errors: kUnavailable (cannot be read), kCancelled.
Result<std::string> sha256_of_file(const std::string& path, const HashProgress& progress = {});

std::string sha256_of_text(std::string_view text);

// 64 hex digits, any case.
bool is_sha256(std::string_view text);

}  // namespace choir

// The library's values as JSON, and the one way to print it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "choir/catalog.h"
#include "choir/machine.h"
#include "choir/model_info.h"
#include "choir/parallel_evaluation.h"
#include "choir/request.h"

namespace choir::app {

using Json = nlohmann::ordered_json;  // fields in the order they are written

// Tokens per second after the first one, which is the prompt's; 0 where there is no second token.
double decode_rate(const Usage& usage);

Json json_of(const ModelInfo& model);
Json json_of(const Machine& machine);
Json json_of(const Version& version);
Json json_of(const Advice& advice);
Json json_of(const Completion& completion);
Json json_of(const EvaluationReport& report);
Json json_of(const Comparison& comparison);
// A string, or its bytes as numbers where they are only part of a UTF-8 character.
Json json_of(const TokenPiece& piece);

// Indented, to standard output, with a newline. Bytes that are not UTF-8 become U+FFFD.
void print_json(const Json& value);

}  // namespace choir::app

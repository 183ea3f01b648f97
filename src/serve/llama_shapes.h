// The bodies and queries of llama-server's routes, as rows of serve/shape.h.
//
// Values; any thread.
#pragma once

#include <array>

#include "choir/request.h"
#include "serve/router.h"
#include "serve/shape.h"

namespace choir::serve {

inline constexpr BodyField kModelField = {
    "model", {Kind::kText, 0, kNameBytesMax}, "Its name; may be left out where only one is served"};
inline constexpr auto kTokenizeFields = std::to_array<BodyField>({
    {"content", {Kind::kText, 0, kInferenceBodyMax}, "The text", true},
    kModelField,
    {"add_special", {Kind::kBoolean}, "Put the model's beginning mark before it"},
    {"parse_special", {Kind::kBoolean}, "Read control tokens in the text; true if left out"},
    {"with_pieces", {Kind::kBoolean}, "Give the text of each token, too"},
});
inline constexpr auto kDetokenizeFields = std::to_array<BodyField>({
    {"tokens", {Kind::kTokens}, "The tokens", true},
    kModelField,
});
inline constexpr auto kTemplateFields = std::to_array<BodyField>({
    {"messages", {Kind::kList}, "The conversation", true, "Messages"},
    kModelField,
    {"add_generation_prompt", {Kind::kBoolean}, "End where an answer begins; true if left out"},
    {"continue_final_message",
     {Kind::kBoolean},
     "Not possible yet; false is accepted",
     false,
     "Off"},
    {"tools", {Kind::kList}, "At most 128 tools, for the template"},
});
inline constexpr auto kLoadFields =
    std::to_array<BodyField>({{"model", {Kind::kText, 1, kNameBytesMax}, "Its name", true}});
inline constexpr auto kModelQuery = std::to_array<BodyField>({kModelField});
inline constexpr auto kSlotsQuery = std::to_array<BodyField>({
    kModelField,
    {"fail_on_no_slot", {Kind::kText, 0, 16}, "Answer 503 where all are in use"},
});

inline constexpr BodyShape kTokenize = {.fields = kTokenizeFields, .unknown = Unknown::kIgnored};
inline constexpr BodyShape kDetokenize = {.fields = kDetokenizeFields,
                                          .unknown = Unknown::kIgnored};
inline constexpr BodyShape kTemplate = {.fields = kTemplateFields, .unknown = Unknown::kIgnored};
inline constexpr BodyShape kLoad = {.fields = kLoadFields, .unknown = Unknown::kIgnored};

}  // namespace choir::serve

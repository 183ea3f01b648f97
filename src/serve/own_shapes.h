// The bodies and queries of Choir's own routes, as rows of serve/shape.h.
//
// Values; any thread.
#pragma once

#include <array>

#include "choir/request.h"
#include "serve/replicas.h"
#include "serve/router.h"
#include "serve/shape.h"

namespace choir::serve {

inline constexpr double kTokensMost = 1 << 24;
inline constexpr ValueRule kNameRule = {Kind::kText, 1, kNameBytesMax};
inline constexpr BodyField kModelNeeded = {"model", kNameRule, "Its name", true};
inline constexpr BodyField kSequencesField = {
    "sequences_max", {Kind::kInteger, 1, 256}, "Most generations at once"};
inline constexpr BodyField kSequenceTokensField = {
    "sequence_tokens_max", {Kind::kInteger, 2, kTokensMost}, "Longest prompt and answer together"};
inline constexpr BodyField kCellsField = {
    "context_tokens", {Kind::kInteger, 2, kTokensMost}, "KV cells of all sequences together"};
inline constexpr BodyField kKvTypeField = {
    "kv_type", {Kind::kText, 0, 16}, "Of the KV cells", false, "KvType"};

inline constexpr BodyField kClassField = {
    "priority", {Kind::kText, 0, 16}, "The class of its requests", false, "PriorityName"};
inline constexpr BodyField kSharesField = {
    "shares", {Kind::kNumber, 0.001, 1000}, "Its weight beside others of its class"};

inline constexpr auto kEstimateFields = std::to_array<BodyField>(
    {kModelNeeded, kSequencesField, kSequenceTokensField, kCellsField, kKvTypeField});
inline constexpr auto kDeclareFields = std::to_array<BodyField>({
    kModelNeeded,
    {"name", kNameRule, "Of the new executor; left out: that of the model"},
    kClassField,
    kSharesField,
    {"pinned", {Kind::kBoolean}, "Keep it in memory once it is loaded"},
    kSequencesField,
    kSequenceTokensField,
    kCellsField,
    kKvTypeField,
});
inline constexpr auto kCloneFields =
    std::to_array<BodyField>({{"name", kNameRule, "Of the new executor", true}});
inline constexpr auto kReplicasFields = std::to_array<BodyField>(
    {{"count", {Kind::kInteger, 1, kReplicasMax}, "Executors that there shall be", true}});
inline constexpr auto kPullFields =
    std::to_array<BodyField>({{"model", kNameRule, "Its name in the catalogue", true}});
inline constexpr std::int64_t kTextEveryMost = 10'000;

inline constexpr auto kParallelFields = std::to_array<BodyField>({
    {"jobs", {Kind::kList}, "What is asked for, each with the fields of chat and its own"},
    {"models", {Kind::kTexts}, "Instead of jobs: each of these models answers each prompt"},
    {"prompts", {Kind::kTexts}, "Instead of jobs: the prompts for all models"},
    {"stream", {Kind::kBoolean}, "Send the texts as they come, as server-sent events"},
    {"text_every_ms",
     {Kind::kInteger, 0, kTextEveryMost},
     "Of a stream: texts are collected for so long, ends are told at once; 0: as they come"},
    {"order",
     {Kind::kText, 0, 16},
     "together, or one_at_a_time: each job is submitted when the one before has ended, and none "
     "finds KV state of before the call",
     false,
     "JobOrder"},
    {"against",
     {Kind::kObject},
     "Of the report of the same jobs in the other order: the reply then compares the two",
     false,
     "ReportFigures"},
});

inline constexpr auto kResizeFields =
    std::to_array<BodyField>({kSequencesField, kSequenceTokensField});
inline constexpr auto kUpdateFields = std::to_array<BodyField>({kClassField, kSharesField});
inline constexpr auto kRemoveQuery = std::to_array<BodyField>({
    {"requests",
     {Kind::kText, 0, 16},
     "cancel: end its requests with it; else it is refused while it has some",
     false,
     "Cancel"},
});
inline constexpr auto kEventsQuery = std::to_array<BodyField>({
    {"topics",
     {Kind::kText, 0, 64},
     "Which of state, requests, turns and log; state and requests if left out",
     false,
     "Topics"},
    {"since",
     {Kind::kText, 0, 64},
     "EPOCH-N of the last frame that was read: go on behind it",
     false,
     "Since"},
});

inline constexpr std::int64_t kTurnsMicrosMax = 1'000'000'000'000'000;  // 31 years

inline constexpr auto kTurnsQuery = std::to_array<BodyField>({
    {"from_us",
     {Kind::kInteger, 0, kTurnsMicrosMax},
     "Turns that end after this time, in microseconds since the daemon began"},
    {"to_us", {Kind::kInteger, 0, kTurnsMicrosMax}, "Turns that begin before this time"},
    {"format", {Kind::kText, 0, 16}, "chrome: as a trace for Perfetto", false, "TurnsFormat"},
});

inline constexpr std::int64_t kJobLast = 255;  // of the jobs of one call

inline constexpr auto kParallelJobQuery = std::to_array<BodyField>({
    {"job", {Kind::kInteger, 0, kJobLast}, "Its number in 'begin'", true},
});

inline constexpr BodyShape kEstimate = {.fields = kEstimateFields};
inline constexpr BodyShape kDeclare = {.fields = kDeclareFields};
inline constexpr BodyShape kPull = {.fields = kPullFields};
inline constexpr BodyShape kParallel = {.fields = kParallelFields, .unknown = Unknown::kIgnored};

}  // namespace choir::serve

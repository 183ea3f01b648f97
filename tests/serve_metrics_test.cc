#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "serve/metric_names.h"

namespace choir::serve {
namespace {

using prometheus::MetricFamily;
using testing::Each;
using testing::StartsWith;

std::vector<std::string> names_of(const std::vector<MetricFamily>& families) {
  std::vector<std::string> names;
  for (const MetricFamily& family : families) names.push_back(family.name);
  return names;
}

const MetricFamily& family(const std::vector<MetricFamily>& families, std::string_view name) {
  const auto found = std::ranges::find(families, name, &MetricFamily::name);
  EXPECT_NE(found, families.end()) << name;
  return *found;
}

ExecutorInfo info() {
  ExecutorInfo e;
  e.config.name = "small";
  e.config.sequences_max = 4;
  e.config.sequence_tokens_max = 100;
  e.cells = 100;
  e.prompt_tokens = 70;
  e.reused_tokens = 30;
  e.output_tokens = 50;
  e.running = 3;
  e.waiting = 2;
  e.seconds_per_output_token = 0.02;
  return e;
}

TEST(MetricNames, AreAList) {
  EXPECT_EQ(metric_names("choir"), kChoirNames);
  EXPECT_EQ(metric_names("llamacpp,choir"), kChoirNames | kLlamaNames);
  EXPECT_EQ(metric_names("choir,vllm,llamacpp"), kChoirNames | kVllmNames | kLlamaNames);
  for (const char* wrong : {"", ",", "Choir", "choir vllm", "choir,,vllm", "tgi"})
    EXPECT_FALSE(metric_names(wrong)) << wrong;
}

TEST(NodeFamilies, AreUnderTheNamesThatWereAskedFor) {
  EXPECT_THAT(names_of(node_families({info()}, kChoirNames)), Each(StartsWith("choir_")));
  EXPECT_THAT(names_of(node_families({info()}, kVllmNames)), Each(StartsWith("vllm:")));
  EXPECT_THAT(names_of(node_families({info()}, kLlamaNames)), Each(StartsWith("llamacpp:")));
}

TEST(NodeFamilies, CountAsTheOtherServersDo) {
  const auto all = node_families({info()}, kVllmNames | kLlamaNames);
  const auto value = [&](std::string_view name) {
    const auto& metric = family(all, name).metric.at(0);
    EXPECT_EQ(metric.label.at(0).name, "model_name");
    EXPECT_EQ(metric.label.at(0).value, "small");
    return family(all, name).type == prometheus::MetricType::Counter ? metric.counter.value
                                                                     : metric.gauge.value;
  };
  EXPECT_EQ(value("vllm:num_requests_running"), 3);
  EXPECT_EQ(value("vllm:num_requests_waiting"), 2);
  EXPECT_EQ(value("vllm:kv_cache_usage_perc"), 0.25);
  EXPECT_EQ(value("vllm:prompt_tokens_total"), 100) << "with those of the prefix cache";
  EXPECT_EQ(value("vllm:generation_tokens_total"), 50);
  EXPECT_EQ(value("llamacpp:prompt_tokens_total"), 70) << "that were computed";
  EXPECT_EQ(value("llamacpp:tokens_predicted_total"), 50);
  EXPECT_EQ(value("llamacpp:requests_processing"), 3);
  EXPECT_EQ(value("llamacpp:requests_deferred"), 2);
  EXPECT_EQ(value("llamacpp:predicted_tokens_seconds"), 50);
}

TEST(Renamed, HasTheHistogramsOfVllm) {
  std::vector<MetricFamily> ours(2);
  ours[0].name = "choir_time_to_first_token_seconds";
  ours[1].name = "choir_requests_total";
  ours[1].metric.resize(2);
  ours[1].metric[0].label = {{"finished_reason", "stop"}};
  ours[1].metric[1].label = {{"finished_reason", "failed"}};
  const auto both = renamed(ours, kChoirNames | kVllmNames);
  EXPECT_THAT(names_of(both), testing::UnorderedElementsAre("choir_time_to_first_token_seconds",
                                                            "choir_requests_total",
                                                            "vllm:time_to_first_token_seconds",
                                                            "vllm:request_success_total"));
  EXPECT_EQ(family(both, "choir_requests_total").metric.size(), 2U);
  ASSERT_EQ(family(both, "vllm:request_success_total").metric.size(), 1U);
  EXPECT_EQ(family(both, "vllm:request_success_total").metric[0].label[0].value, "stop");
  EXPECT_THAT(names_of(renamed(ours, kLlamaNames)), testing::IsEmpty());
}

TEST(Renamed, AddsUpHistogramsForLlamaServer) {
  std::vector<MetricFamily> ours(1);
  ours[0].name = "choir_decode_seconds";
  ours[0].metric.resize(1);
  ours[0].metric[0].label = {{"model_name", "small"}};
  ours[0].metric[0].histogram.sample_sum = 2.5;
  const auto theirs = renamed(ours, kLlamaNames);
  EXPECT_THAT(names_of(theirs), testing::ElementsAre("llamacpp:tokens_predicted_seconds_total"));
  ASSERT_EQ(theirs[0].metric.size(), 1U);
  EXPECT_EQ(theirs[0].metric[0].label[0].value, "small");
  EXPECT_EQ(theirs[0].metric[0].counter.value, 2.5);
}

// ---- compute of tenants -------------------------------------------------------------------------

void step(Metrics& metrics, std::string_view tenant, Priority priority, double seconds) {
  const std::vector<StepDone::Part> parts = {{tenant, priority, 1}};
  StepDone done{.executor = "small", .seconds = seconds};
  done.parts = parts;
  metrics.on_step(done);
}

std::string text_of(Metrics& metrics) {
  const auto node = Node::create({}).value();
  return metrics.text(*node);
}

TEST(Metrics, DivideTheTimeOfAPassAmongItsSequences) {
  Metrics metrics;
  const std::vector<StepDone::Part> parts = {{"acme", Priority::kHigh, 3},
                                             {"zeta", Priority::kLow, 1}};
  StepDone done{.executor = "small", .seconds = 2};
  done.parts = parts;
  metrics.on_step(done);
  metrics.on_step(done);
  const std::string text = text_of(metrics);
  EXPECT_NE(text.find("choir_compute_seconds_total{model_name=\"small\",priority=\"high\","
                      "tenant=\"acme\"} 3\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("choir_compute_seconds_total{model_name=\"small\",priority=\"low\","
                      "tenant=\"zeta\"} 1\n"),
            std::string::npos);
}

TEST(Metrics, TellOfSoManyTenants) {
  Metrics metrics;
  for (int i = 0; i < 150; ++i) {
    step(metrics, "t" + std::to_string(i), Priority::kNormal, 1);
    step(metrics, "t" + std::to_string(i), Priority::kNormal, 1);
  }
  const std::string text = text_of(metrics);
  const auto value = [&](const std::string& tenant) {
    const std::string front =
        "choir_compute_seconds_total{model_name=\"small\",priority=\"normal\",tenant=\"" + tenant +
        "\"} ";
    const std::size_t place = text.find(front);
    return place == std::string::npos ? -1.0 : std::stod(text.substr(place + front.size()));
  };
  EXPECT_EQ(value("t0"), 2);
  EXPECT_EQ(value("t99"), 2);
  EXPECT_EQ(value("t100"), -1);
  EXPECT_EQ(value("other"), 100);
}

TEST(Metrics, SayWhichProgramThisIs) {
  Metrics metrics;
  EXPECT_THAT(text_of(metrics),
              testing::ContainsRegex(
                  "choir_build_info\\{engine=\"llama.cpp [^\"]*\",version=\"[0-9.]+\"\\} 1\n"));
}

TEST(Metrics, CountLinesThatTheAccessLogHasLost) {
  Metrics metrics;
  EXPECT_EQ(text_of(metrics).find("choir_access_log_dropped_total"), std::string::npos);
  metrics.on_lost_lines(7);
  EXPECT_NE(text_of(metrics).find("choir_access_log_dropped_total 7\n"), std::string::npos);
}

}  // namespace
}  // namespace choir::serve

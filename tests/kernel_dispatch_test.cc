#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/takeover.h"

namespace choir::kernels {
namespace {

bool yes() { return true; }
bool no() { return false; }
const KernelTable* none() { return nullptr; }
KernelTable named(const char* name) {
  KernelTable table;
  table.name = name;
  return table;
}
const KernelTable* wide() {
  static const KernelTable kTable = named("wide");
  return &kTable;
}
const KernelTable* narrow() {
  static const KernelTable kTable = named("narrow");
  return &kTable;
}
// As one that is compiled for instructions that the CPU does not have.
const KernelTable* illegal() {
  ADD_FAILURE() << "code for another CPU was called";
  return nullptr;
}

std::string chosen(const std::vector<Path>& paths, std::string_view wanted = "") {
  const KernelTable* table = first_that_runs(paths, wanted);
  return table == nullptr ? "" : table->name;
}

TEST(Dispatch, TakesTheFirstThatRuns) {
  EXPECT_EQ(chosen({{"wide", yes, wide}, {"narrow", yes, narrow}}), "wide");
  EXPECT_EQ(chosen({{"wide", yes, none}, {"narrow", yes, narrow}}), "narrow");
  EXPECT_EQ(chosen({}), "");
}

TEST(Dispatch, CallsNothingThatIsCompiledForAnotherCpu) {
  EXPECT_EQ(chosen({{"wide", no, illegal}, {"narrow", yes, narrow}}), "narrow");
  EXPECT_EQ(chosen({{"wide", no, illegal}}, "wide"), "");
}

TEST(Dispatch, TakesWhatIsWanted) {
  EXPECT_EQ(chosen({{"wide", yes, illegal}, {"narrow", yes, narrow}}, "narrow"), "narrow");
  EXPECT_EQ(chosen({{"wide", yes, illegal}}, "off"), "");
  EXPECT_EQ(chosen({{"wide", yes, illegal}}, "wider"), "");
}

// tests/kernel_isolation_test.sh runs it on another CPU.
TEST(Dispatch, OfThisCpu) {
  std::cout << "this CPU: " << path_text() << "\n";
  EXPECT_EQ(active_table() == nullptr, path_text().starts_with("off"));
}

}  // namespace
}  // namespace choir::kernels

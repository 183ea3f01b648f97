#include "base/child.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "tests/temp_folder.h"

namespace choir {
namespace {

class ChildTest : public testing::Test {
 protected:
  ChildCommand command(std::vector<std::string> argv) {
    return {.argv = std::move(argv),
            .folder = folder_.path(),
            .environment = {},
            .log_path = folder_ / "log"};
  }
  std::string log() { return text_of_file(folder_ / "log"); }

  TempFolder folder_;
};

std::string read_all(const Fd& fd) {
  std::string all;
  for (char c = 0; ::read(fd.get(), &c, 1) == 1;) all += c;
  return all;
}

TEST_F(ChildTest, ItsStatusIsTold) {
  Child child = Child::start(command({"sh", "-c", "exit 7"})).value();
  EXPECT_EQ(child.wait(), 7);
  EXPECT_EQ(child.ended(), 7);
}

TEST_F(ChildTest, ASignalIsAStatusToo) {
  EXPECT_EQ(Child::start(command({"sh", "-c", "kill -TERM $$"})).value().wait(), 128 + SIGTERM);
}

TEST_F(ChildTest, AMissingProgramIsNotFound) {
  const auto child = Child::start(command({"choir-no-such-program"}));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kNotFound);
}

TEST_F(ChildTest, ArgumentsAreNotReadByAShell) {
  EXPECT_EQ(Child::start(command({"echo", "$HOME; *", "a b"})).value().wait(), 0);
  EXPECT_EQ(log(), "$HOME; * a b\n");
}

TEST_F(ChildTest, OutputAndErrorsAreAppendedToTheLog) {
  folder_.write("log", "before\n");
  EXPECT_EQ(Child::start(command({"sh", "-c", "echo out; echo err >&2"})).value().wait(), 0);
  EXPECT_EQ(log(), "before\nout\nerr\n");
}

TEST_F(ChildTest, PipedOutputComesToUs) {
  ChildCommand piped = command({"sh", "-c", "echo out; echo err >&2"});
  piped.output = ChildCommand::Output::kPipe;
  Child child = Child::start(piped).value();
  EXPECT_EQ(read_all(child.output()), "out\n");
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(log(), "err\n");
}

TEST_F(ChildTest, RunsInItsFolderWithItsEnvironment) {
  Environment environment;
  environment.set("CHOIR_TEST_KEPT", "kept");
  environment.set("CHOIR_TEST_CHANGED", "old");
  ChildCommand changed = command({"sh", "-c", "pwd -P; echo $CHOIR_TEST_KEPT $CHOIR_TEST_CHANGED"});
  changed.environment = {"CHOIR_TEST_CHANGED=new"};
  EXPECT_EQ(Child::start(changed).value().wait(), 0);
  EXPECT_EQ(log(), std::filesystem::canonical(folder_.path()).string() + "\nkept new\n");
}

TEST_F(ChildTest, EndsWithItsOwnerAndTakesItsChildrenWithIt) {
  ChildCommand piped = command({"sh", "-c", "sleep 1000 & echo $!; wait"});
  piped.output = ChildCommand::Output::kPipe;
  Fd output(-1);
  {
    Child child = Child::start(piped).value();
    EXPECT_EQ(child.ended(), std::nullopt);
    output = Fd(::dup(child.output().get()));
    char first = 0;
    ASSERT_EQ(::read(output.get(), &first, 1), 1);  // it runs
  }
  // End of file comes only when the grandchild is gone too.
  EXPECT_FALSE(read_all(output).empty());
}

}  // namespace
}  // namespace choir

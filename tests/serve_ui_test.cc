// Files of the dashboard: the manifest, who gets them compressed, and the headers they have.
#include "serve/ui_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "serve/ui_routes.h"
#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

TEST(Manifest, HasALineForEachFile) {
  const auto rows = read_manifest(
      "index.html\ttext/html; charset=utf-8\tplain\napp-1.js\ttext/javascript\thashed\n");
  ASSERT_TRUE(rows);
  EXPECT_EQ(*rows, (std::vector<ManifestRow>{{"index.html", "text/html; charset=utf-8", false},
                                             {"app-1.js", "text/javascript", true}}));
  for (const char* wrong : {"a", "a\tb", "a\tb\tother", "\tb\tplain", "a\tb\tplain\n\n"})
    EXPECT_FALSE(read_manifest(wrong)) << wrong;
  EXPECT_THAT(read_manifest("a\tb\tplain\nx y\n").error().message, HasSubstr("line 2"));
}

TEST(FolderOfTheDashboard, GivesWhatItsManifestHasAndNothingElse) {
  const TempFolder folder;
  std::ofstream(folder / "manifest") << "a.js\ttext/javascript\thashed\n";
  std::ofstream(folder / "a.js") << "one";
  std::ofstream(folder / "secret") << "no";
  const auto file = file_of_folder(folder.path(), "a.js");
  ASSERT_TRUE(file && *file);
  EXPECT_EQ((*file)->bytes, "one");
  EXPECT_EQ((*file)->gzip, "");
  EXPECT_TRUE((*file)->row.hashed);
  for (const char* path : {"secret", "manifest", "./a.js", "../a.js", ""})
    EXPECT_FALSE(*file_of_folder(folder.path(), path)) << path;
  EXPECT_FALSE(file_of_folder(folder / "none", "a.js"));
}

TEST(TakesGzip, GoesByTheHeader) {
  for (const char* yes : {"gzip", "GZip", "br, gzip", "deflate, gzip;q=0.5", "*", "gzip; q=1"})
    EXPECT_TRUE(takes_gzip(yes)) << yes;
  for (const char* no : {"", "br", "gzip;q=0", "gzip; q=0.00", "x-gzip2"})
    EXPECT_FALSE(takes_gzip(no)) << no;
}

std::string header_of(const ReplyHead& head, std::string_view name) {
  for (const Header& header : head.headers)
    if (header.name == name) return header.value;
  return {};
}

TEST(FileOfTheDashboard, ForbidsThePageWhatItDoesNotNeed) {
  const UiFile file{"index.html", "text/html; charset=utf-8", false, "plain", "zipped"};
  const Output plain = reply_with_file(file, {.method = "GET"})->advance();
  EXPECT_EQ(plain.bytes, "plain");
  const ReplyHead& head = *plain.head;
  EXPECT_THAT(header_of(head, "content-security-policy"),
              testing::AllOf(HasSubstr("default-src 'none'"), HasSubstr("trusted-types 'none'"),
                             HasSubstr("frame-ancestors 'none'"), HasSubstr("connect-src 'self'")));
  EXPECT_EQ(header_of(head, "x-content-type-options"), "nosniff");
  EXPECT_EQ(header_of(head, "referrer-policy"), "no-referrer");
  EXPECT_EQ(header_of(head, "cross-origin-opener-policy"), "same-origin");
  EXPECT_EQ(header_of(head, "cross-origin-resource-policy"), "same-origin");
  EXPECT_EQ(header_of(head, "cache-control"), "no-store");
  EXPECT_EQ(header_of(head, "content-encoding"), "");
}

TEST(FileOfTheDashboard, IsCompressedForWhoTakesThat) {
  const UiFile file{"app-1.js", "text/javascript", true, "plain", "zipped"};
  const HttpRequest request{.method = "GET", .headers = {{"accept-encoding", "gzip, br"}}};
  const Output output = reply_with_file(file, request)->advance();
  EXPECT_EQ(output.bytes, "zipped");
  EXPECT_EQ(header_of(*output.head, "content-encoding"), "gzip");
  EXPECT_EQ(header_of(*output.head, "vary"), "accept-encoding");
  EXPECT_THAT(header_of(*output.head, "cache-control"), HasSubstr("immutable"));
  const UiFile plain_only{"app-1.js", "text/javascript", true, "plain", {}};
  EXPECT_EQ(reply_with_file(plain_only, request)->advance().bytes, "plain");
}

}  // namespace
}  // namespace choir::serve

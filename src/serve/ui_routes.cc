#include "serve/ui_routes.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "choir/text.h"
#include "serve/by_door.h"

namespace choir::serve {
namespace {

constexpr std::string_view kIndex = "index.html";

// Scripts and styles only from files of this daemon, no text that becomes markup, no frame around
// the page, no other address.
constexpr auto kPageHeaders = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"content-security-policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'; trusted-types 'none'"},
    {"x-content-type-options", "nosniff"},
    {"referrer-policy", "no-referrer"},
    {"cross-origin-opener-policy", "same-origin"},
    {"cross-origin-resource-policy", "same-origin"},
});

ReplyHead page_head(int status, std::string_view type, std::string_view kept) {
  ReplyHead head{.status = status,
                 .headers = {{"content-type", std::string(type)},
                             {"cache-control", std::string(kept)},
                             {"vary", "accept-encoding"}}};
  for (const auto& [name, value] : kPageHeaders)
    head.headers.push_back({std::string(name), std::string(value)});
  return head;
}

std::unique_ptr<Work> no_page(const std::string& sentence) {
  return reply_with(page_head(404, "text/plain; charset=utf-8", "no-store"), sentence + "\n");
}

std::unique_ptr<Work> no_such_file(const HttpRequest& request) {
  return no_page("the dashboard has no file '" + printable_line(request.rest, 300) + "'");
}

bool is_browser(const HttpRequest& request) {
  return request.header("accept").find("text/html") != std::string_view::npos;
}

std::unique_ptr<Work> redirect_to_page() {
  ReplyHead head = page_head(302, "text/plain; charset=utf-8", "no-store");
  head.headers.push_back({"location", "/ui/"});
  return reply_with(std::move(head), "the dashboard is at /ui/\n");
}

Handler handler_of(Doors& doors, const UiConfig& config) {
  const auto path_of = [](const HttpRequest& request) {
    return request.rest.empty() ? std::string(kIndex) : request.rest;
  };
  if (config.disabled)
    return [](const HttpRequest&, const Wake&) {
      return no_page("this daemon serves no dashboard: it was started with --no-ui");
    };
  if (!config.folder.empty())
    return work_by_door(doors, [path_of, folder = config.folder](const HttpRequest& request) {
      const auto file = file_of_folder(folder, path_of(request));
      if (!file) return no_page(file.error().message);
      if (!*file) return no_such_file(request);
      const FolderFile& found = **file;
      return reply_with_file(
          {found.row.path, found.row.type, found.row.hashed, found.bytes, found.gzip}, request);
    });
  if (embedded_ui().empty())
    return [](const HttpRequest&, const Wake&) {
      return no_page(
          "this program was built without the dashboard; --ui-dir DIR serves one from a folder");
    };
  return [path_of](const HttpRequest& request, const Wake&) {
    const auto files = embedded_ui();
    const auto file = std::ranges::find(files, path_of(request), &UiFile::path);
    return file == files.end() ? no_such_file(request) : reply_with_file(*file, request);
  };
}

}  // namespace

bool takes_gzip(std::string_view accept_encoding) {
  for (std::string_view rest = accept_encoding; !rest.empty();) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    std::string text = lower_case(entry);
    std::erase_if(text, [](char c) { return c == ' ' || c == '\t'; });
    const std::string name = text.substr(0, text.find(';'));
    if (name != "gzip" && name != "*") continue;
    const std::size_t quality = text.find(";q=");
    return quality == std::string::npos ||
           text.find_first_not_of("0.", quality + 3) != std::string::npos;
  }
  return false;
}

std::unique_ptr<Work> reply_with_file(const UiFile& file, const HttpRequest& request) {
  const bool compressed = !file.gzip.empty() && takes_gzip(request.header("accept-encoding"));
  ReplyHead head =
      page_head(200, file.type, file.hashed ? "public, max-age=31536000, immutable" : "no-store");
  if (compressed) head.headers.push_back({"content-encoding", "gzip"});
  return reply_with(std::move(head), std::string(compressed ? file.gzip : file.bytes));
}

void add_ui_routes(Router& router, Doors& doors, const UiConfig& config) {
  const Handler handler = handler_of(doors, config);
  for (const char* path : {"/ui/", "/ui/*"})
    router.add({.method = "GET",
                .path = path,
                .summary = "A file of the dashboard",
                .scopes = 0,
                .documented = false,
                .handler = handler});
  router.add({.method = "GET",
              .path = "/ui",
              .summary = "Leads to the dashboard",
              .scopes = 0,
              .documented = false,
              .handler = [](const HttpRequest&, const Wake&) { return redirect_to_page(); }});
  if (!has_ui(config)) return;
  router.add({.method = "GET",
              .path = "/",
              .summary = "Leads browsers to the dashboard",
              .scopes = 0,
              .documented = false,
              .handler = [](const HttpRequest& request, const Wake&) {
                return is_browser(request)
                           ? redirect_to_page()
                           : reply_with_error(
                                 {.status = 404,
                                  .type = "not_found_error",
                                  .code = "",
                                  .message = "there is no '/' here; /v1/models lists the models",
                                  .param = {},
                                  .pointer = {}});
              }});
}

}  // namespace choir::serve

#include "context/conversation_folder.h"

namespace choir {
namespace {

tl::unexpected<Error> closed() {
  return fail(Code::kUnavailable, "its executor has ended: the conversation is not kept any more");
}

}  // namespace

Result<std::shared_ptr<ConversationFolder>> ConversationFolder::open(const std::string& path,
                                                                     std::uint64_t kv_bytes_max) {
  auto store = CHOIR_TRY(ConversationStore::open(path));
  return std::shared_ptr<ConversationFolder>(
      new ConversationFolder(std::move(store), path, kv_bytes_max));
}

Status ConversationFolder::put(const ConversationRecord& record) {
  return store_.with([&](auto& store) -> Status { return store ? store->put(record) : closed(); });
}

Status ConversationFolder::erase(const std::string& executor, const std::string& id) {
  return store_.with(
      [&](auto& store) -> Status { return store ? store->erase(executor, id) : closed(); });
}

Result<std::optional<ConversationRecord>> ConversationFolder::get(const std::string& executor,
                                                                  const std::string& id) const {
  return store_.with([&](const auto& store) -> Result<std::optional<ConversationRecord>> {
    if (!store) return closed();
    return store->get(executor, id);
  });
}

Result<std::vector<std::string>> ConversationFolder::ids(const std::string& executor) const {
  return store_.with([&](const auto& store) -> Result<std::vector<std::string>> {
    if (!store) return closed();
    return store->ids(executor);
  });
}

void ConversationFolder::close() {
  snapshots_.close();
  store_.with([](auto& store) { store.reset(); });
}

Result<OpenFolders::Use> OpenFolders::use(const std::string& folder, std::uint64_t kv_bytes_max) {
  const std::string path = CHOIR_TRY(make_store_folder(folder));
  return folders_.with([&](auto& folders) -> Result<Use> {
    const auto known = folders.find(path);
    if (known != folders.end()) {
      ++known->second.uses;
      known->second.folder->snapshots().set_bytes_max(kv_bytes_max);
      return Use(*this, path, known->second.folder);
    }
    auto opened = CHOIR_TRY(ConversationFolder::open(path, kv_bytes_max));
    folders.emplace(path, Entry{opened, 1});
    return Use(*this, path, std::move(opened));
  });
}

void OpenFolders::end(const std::string& path) {
  folders_.with([&](auto& folders) {
    const auto known = folders.find(path);
    if (--known->second.uses > 0) return;
    known->second.folder->close();
    folders.erase(known);
  });
}

}  // namespace choir

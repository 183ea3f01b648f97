#include "context/snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <type_traits>

#include "base/disk.h"
#include "base/fd.h"
#include "choir/request.h"
#include "choir/text.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 4> kMagic = {'C', 'H', 'S', 'N'};
constexpr std::uint32_t kVersion = 1;
constexpr std::string_view kFolder = "/kv/";
constexpr std::string_view kTemporary = ".tmp.";  // and six characters, after kSnapshotEnding
constexpr std::size_t kBlockBytes = 1U << 18U;    // hashed and copied while it is in the L2 cache

// As it lies in the file.
struct Header {
  std::array<char, 4> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t fingerprint_bytes = 0;
  std::uint16_t kv_type_bytes = 0;
  std::uint16_t reuse_scope_bytes = 0;  // 0 in files from before there were scopes
  std::uint64_t tokens = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t checksum = 0;  // of the fields above

  std::uint64_t sum() const { return XXH3_64bits(this, offsetof(Header, checksum)); }
};
static_assert(std::endian::native == std::endian::little);
static_assert(std::has_unique_object_representations_v<Header>, "no padding in a file");
using Trailer = std::uint64_t;

template <class T>
std::span<char> bytes_of(T& value) {
  return {reinterpret_cast<char*>(&value), sizeof(value)};
}
template <class T>
requires std::is_trivially_copyable_v<T> std::string_view view_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}
std::string_view view_of(const std::vector<TokenId>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(TokenId)};
}

// XXH3 of bytes that come in pieces.
class Checksum {
 public:
  Checksum() { XXH3_64bits_reset(state_.get()); }
  void add(std::string_view bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  std::uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_{XXH3_createState()};
};

tl::unexpected<Error> refused(const std::string& path, std::string_view why) {
  return fail(Code::kInvalidArgument, "snapshot '" + path + "' is " + std::string(why));
}

tl::unexpected<Error> unavailable(const char* cannot, const std::string& path, int error_number) {
  return fail(Code::kUnavailable, std::string("cannot ") + cannot + " snapshot '" + path +
                                      "': " + std::generic_category().message(error_number));
}

tl::unexpected<Error> not_written(const std::string& path, std::uint64_t need, int error_number) {
  if (!is_disk_full(error_number)) return unavailable("write", path, error_number);
  std::string message =
      "the disk is full while writing snapshot '" + path + "': need " + bytes_text(need);
  struct statvfs disk {};
  if (::statvfs(fs::path(path).parent_path().c_str(), &disk) == 0)
    message += ", free " + bytes_text(std::uint64_t{disk.f_bavail} * disk.f_frsize);
  return fail(Code::kUnavailable, message + "; free some, or keep conversations on another disk");
}

// A file without its name yet: gone again unless publish() gives it the name.
class UnnamedFile {
 public:
  explicit UnnamedFile(const std::string& path)
      : path_(path),
        temporary_(path + std::string(kTemporary) + "XXXXXX"),
        file_(::mkostemp(temporary_.data(), O_CLOEXEC)),  // 0600
        error_number_(file_ ? 0 : errno) {}
  ~UnnamedFile() {
    if (file_ && !published_) ::unlink(temporary_.c_str());
  }
  UnnamedFile(const UnnamedFile&) = delete;
  UnnamedFile& operator=(const UnnamedFile&) = delete;

  int error_number() const { return error_number_; }  // of the first thing that went wrong
  void add(std::string_view data) {
    while (!data.empty() && error_number_ == 0) {
      const std::string_view block = data.substr(0, kBlockBytes);
      sum_.add(block);
      put(block);
      data.remove_prefix(block.size());
    }
  }
  void publish() {
    const Trailer sum = sum_.value();
    put(view_of(sum));
    if (error_number_ != 0) return;
    published_ = ::fsync(file_.get()) == 0 && std::rename(temporary_.c_str(), path_.c_str()) == 0;
    if (!published_) error_number_ = errno;
  }

 private:
  void put(std::string_view data) {
    while (!data.empty() && error_number_ == 0) {
      const ssize_t written = ::write(file_.get(), data.data(), data.size());
      if (written >= 0)
        data.remove_prefix(static_cast<std::size_t>(written));
      else if (errno != EINTR)
        error_number_ = errno;
    }
  }

  std::string path_;
  std::string temporary_;
  Fd file_;
  int error_number_;
  Checksum sum_;
  bool published_ = false;
};

// The rest of a file, from its beginning to its end.
class Reader {
 public:
  Reader(const Fd& file, std::uint64_t bytes) : file_(file), left_(bytes) {}

  std::uint64_t left() const { return left_; }
  const Checksum& sum() const { return sum_; }  // of what was taken
  int error_number() const { return error_number_; }
  // False when the file ends before that, or cannot be read.
  bool take(std::span<char> into) {
    while (!into.empty()) {
      const ssize_t got = ::read(file_.get(), into.data(), std::min(into.size(), kBlockBytes));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error_number_ = errno;
      if (got <= 0) return false;
      const auto count = static_cast<std::size_t>(got);
      sum_.add({into.data(), count});
      left_ -= std::min<std::uint64_t>(left_, count);
      into = into.subspan(count);
    }
    return true;
  }

 private:
  const Fd& file_;
  std::uint64_t left_;
  Checksum sum_;
  int error_number_ = 0;
};

// Are the sizes those of a file with `left` bytes after the header? Each is compared alone first,
// so that the sum cannot overflow.
bool sizes_fit(const Header& header, std::uint64_t left) {
  if (header.fingerprint_bytes > kNameBytesMax || header.kv_type_bytes > kNameBytesMax ||
      header.reuse_scope_bytes > kNameBytesMax)
    return false;
  if (header.tokens > left / sizeof(TokenId) || header.kv_bytes > left) return false;
  return left == std::uint64_t{header.fingerprint_bytes} + header.kv_type_bytes +
                     header.reuse_scope_bytes + header.tokens * sizeof(TokenId) + header.kv_bytes +
                     sizeof(Trailer);
}

// In large pages where the system has them: the first touch of every 4 kB took twice as long as
// reading them did (50 MB: 40 ms, in large pages 20 ms).
void resize_fresh(std::string& text, std::size_t bytes) {
  constexpr std::size_t kPageBytes = 2U << 20U;
  text.reserve(bytes);
  void* begin = text.data();
  std::size_t room = bytes;
  if (std::align(kPageBytes, kPageBytes, begin, room) != nullptr)
    ::madvise(begin, room / kPageBytes * kPageBytes, MADV_HUGEPAGE);
  text.resize(bytes);
}

Result<Snapshot> read_from(Reader& file, const std::string& path) {
  Header header;
  if (!file.take(bytes_of(header)) || header.magic != kMagic)
    return refused(path, "not one of ours");
  if (header.version != kVersion)
    return refused(path, "of format version " + std::to_string(header.version) +
                             ", this build reads " + std::to_string(kVersion));
  if (header.checksum != header.sum() || !sizes_fit(header, file.left()))
    return refused(path, "torn, or its header altered");

  Snapshot snapshot;
  snapshot.model_fingerprint.resize(header.fingerprint_bytes);
  snapshot.kv_type.resize(header.kv_type_bytes);
  snapshot.reuse_scope.resize(header.reuse_scope_bytes);
  snapshot.tokens.resize(header.tokens);
  resize_fresh(snapshot.kv, header.kv_bytes);
  Trailer wanted = 0;
  if (!file.take(snapshot.model_fingerprint) || !file.take(snapshot.kv_type) ||
      !file.take(snapshot.reuse_scope) ||
      !file.take({reinterpret_cast<char*>(snapshot.tokens.data()),
                  snapshot.tokens.size() * sizeof(TokenId)}) ||
      !file.take(snapshot.kv))
    return refused(path, "torn");
  const std::uint64_t sum = file.sum().value();
  if (!file.take(bytes_of(wanted)) || wanted != sum) return refused(path, "torn or altered");
  return snapshot;
}

}  // namespace

std::string snapshot_path(const std::string& folder, std::string_view executor,
                          std::string_view id) {
  const std::string key = std::string(executor) + '\0' + std::string(id);
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  std::array<char, 33> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return folder + std::string(kFolder) + digits.data() + std::string(kSnapshotEnding);
}

std::uint64_t snapshot_bytes(const Snapshot& s) {
  return sizeof(Header) + s.model_fingerprint.size() + s.kv_type.size() + s.reuse_scope.size() +
         s.tokens.size() * sizeof(TokenId) + s.kv.size() + sizeof(Trailer);
}

Status write_snapshot(const std::string& path, const Snapshot& snapshot) {
  if (snapshot.model_fingerprint.size() > kNameBytesMax ||
      snapshot.kv_type.size() > kNameBytesMax || snapshot.reuse_scope.size() > kNameBytesMax)
    return fail(Code::kInvalidArgument,
                "a snapshot's model_fingerprint, kv_type and reuse_scope have at most " +
                    std::to_string(kNameBytesMax) + " bytes each");
  Header header;
  header.fingerprint_bytes = static_cast<std::uint32_t>(snapshot.model_fingerprint.size());
  header.kv_type_bytes = static_cast<std::uint16_t>(snapshot.kv_type.size());
  header.reuse_scope_bytes = static_cast<std::uint16_t>(snapshot.reuse_scope.size());
  header.tokens = snapshot.tokens.size();
  header.kv_bytes = snapshot.kv.size();
  header.checksum = header.sum();

  const fs::path folder = fs::path(path).parent_path();
  const bool new_folder = ::mkdir(folder.c_str(), 0700) == 0;  // else making the file will tell
  UnnamedFile file(path);
  for (const std::string_view part :
       {view_of(header), std::string_view(snapshot.model_fingerprint),
        std::string_view(snapshot.kv_type), std::string_view(snapshot.reuse_scope),
        view_of(snapshot.tokens), std::string_view(snapshot.kv)})
    file.add(part);
  file.publish();
  if (file.error_number() != 0)
    return not_written(path, snapshot_bytes(snapshot), file.error_number());
  sync_folder(folder.string());
  if (new_folder) sync_folder(folder.parent_path().string());
  return {};
}

Result<Snapshot> read_snapshot(const std::string& path) {
  // Not blocking: a pipe under this name must not block us.
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && errno == ENOENT) return fail(Code::kNotFound, "no snapshot '" + path + "'");
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return unavailable("read", path, errno);
  if (!S_ISREG(info.st_mode)) return refused(path, "not a regular file");
  try {
    Reader reader(file, static_cast<std::uint64_t>(info.st_size));
    Result<Snapshot> snapshot = read_from(reader, path);
    if (reader.error_number() != 0) return unavailable("read", path, reader.error_number());
    return snapshot;
  } catch (const std::bad_alloc&) {
    return fail(Code::kOutOfMemory, "no memory for snapshot '" + path + "': need " +
                                        bytes_text(static_cast<std::uint64_t>(info.st_size)));
  }
}

Status erase_snapshot(const std::string& path) {
  if (::unlink(path.c_str()) == 0)
    sync_folder(fs::path(path).parent_path().string());
  else if (errno != ENOENT)
    return unavailable("erase", path, errno);
  return {};
}

std::size_t sweep_snapshots(const std::string& folder) {
  const std::string left = std::string(kSnapshotEnding) + std::string(kTemporary);
  std::size_t count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder + std::string(kFolder), error), end;
       !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().find(left) != std::string::npos &&
        ::unlink(entry->path().c_str()) == 0)
      ++count;
  return count;
}

}  // namespace choir

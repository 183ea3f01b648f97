// models/stamp: what is read can be written and read again.
#include "models/stamp.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const choir::fuzz::ScratchFolder folder;
  const std::string model = folder.path() + "/a.gguf";
  folder.write("a.gguf.sha256", choir::fuzz::text_of(data, size));
  const auto stamp = choir::read_stamp(model);
  if (!stamp) return 0;
  choir::fuzz::expect(stamp->sha256.size() == 64, "a stamp has a sha256");
  choir::write_stamp(model, *stamp);
  choir::fuzz::expect(choir::read_stamp(model) == stamp, "a stamp is read as it was written");
  return 0;
}

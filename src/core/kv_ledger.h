// KV arithmetic: what is held of an executor's cells and slots.
#pragma once

#include <cstdint>

namespace choir {

struct KvUse {
  std::int32_t cells = 0;  // one for each computed token
  std::int32_t slots = 0;  // sequences that hold any
  bool operator==(const KvUse&) const = default;

  friend KvUse operator+(KvUse a, KvUse b) { return {a.cells + b.cells, a.slots + b.slots}; }
  friend KvUse operator-(KvUse a, KvUse b) { return {a.cells - b.cells, a.slots - b.slots}; }
};

// The cells of one holder. Only a ledger changes them, so its totals cannot miss a change.
class KvCells {
 public:
  KvCells() = default;
  KvCells(const KvCells&) = delete;  // a copy would hold cells that no ledger knows of
  KvCells& operator=(const KvCells&) = delete;
  operator std::int32_t() const { return count_; }

 private:
  friend class KvLedger;
  std::int32_t count_ = 0;
};

// What all holders have together, kept up to date instead of counted again in every step. A holder
// holds nothing when it goes away, or to another ledger.
class KvLedger {
 public:
  void set(KvCells& cells, std::int32_t count) {
    use_.cells += count - cells.count_;
    use_.slots += (count > 0 ? 1 : 0) - (cells.count_ > 0 ? 1 : 0);
    cells.count_ = count;
  }
  const KvUse& use() const { return use_; }

 private:
  KvUse use_;
};

}  // namespace choir

// What the KV cells of an executor hold, for those that look. No call waits for a pass.
#include "policy/shared_front.h"
#include "runtime/in_turn.h"
#include "runtime/runtime.h"

namespace choir {

Result<std::optional<CellSharing>> Runtime::cell_sharing(std::string_view name) {
  const ExecutorRow row = CHOIR_TRY(table_.row(name));
  if (!row.executor) return CellSharing{};
  CellLooks& looks = row.executor->cell_looks();
  const Instant now = clock_.now();
  const auto last = looks.last();
  if (looks.ask(now))
    (void)post_in_turn(lanes_, *row.executor, [](Executor& e) {
      e.look_at_cells();
      return true;
    });
  if (!last) return std::nullopt;
  return CellSharing{.age_seconds = to_seconds(now - last->at),
                     .holders = last->holders,
                     .fronts = shared_fronts(last->runs)};
}

}  // namespace choir

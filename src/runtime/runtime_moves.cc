// An executor goes to another node of this process with everything that runs in it.
#include "runtime/runtime.h"

namespace choir {

Status Runtime::migrate(std::string_view name, Runtime& target,
                        const std::function<void()>& moved) {
  if (&target == this) return {};
  CHOIR_CHECK_OK(refuse_inside_callback("migrate()", "another thread"));
  const ExecutorRow known = CHOIR_TRY(table_.row(name));
  const std::string& id_text = known.config.name;
  CHOIR_CHECK_OK(target.add(
      known.config, {.stats = known.stats,
                     .compute_seconds = known.compute_seconds + lanes_.compute_seconds(known.id)}));
  // From here on nobody unloads or removes the new one, and then nobody the old one.
  const ExecutorRow there = CHOIR_TRY(target.table_.row(id_text));
  std::shared_ptr<Executor> heir;
  const auto take_out = [&]() -> Result<std::shared_ptr<Executor>> {
    CHOIR_CHECK_OK(target.active_.close_door(there, false));
    heir = target.table_.loaded(id_text);
    auto taken =
        heir ? residents_.take_out(known)
             : fail(Code::kOutOfMemory,
                    "executor '" + id_text + "' had to leave the memory of its new node at once");
    if (!taken) target.active_.open_door(there.id);
    return taken;
  };
  const auto source = take_out();
  if (!source) {
    (void)target.remove(id_text, Drain::kCancel);
    return tl::unexpected(source.error());
  }
  Executor::Belongings belongings;
  if (*source) belongings = (*source)->extract();
  active_.hand_over(known.id, std::move(belongings), target.active_, *heir);
  target.lanes_.ready(heir->id(), Priority::kCritical);
  if (moved) moved();
  residents_.moved(known, *source);
  leases_.hand_over(known.id, target.leases_, there.id);
  // Requests whose end is being told. Those told may want to come in again, which they now can.
  active_.wait_none_in(known.id);
  return {};
}

}  // namespace choir

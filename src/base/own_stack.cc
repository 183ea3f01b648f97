#include "base/own_stack.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/caught.h"

namespace choir {
namespace {

constexpr std::size_t kPageBytes = 64U << 10U;  // of the coarsest kernels
constexpr std::size_t kStackBytesMin = 256U << 10U;

struct Call {
  const std::function<void()>& work;
  Status done;
};

void* carry_out(void* call) {
  auto& [work, done] = *static_cast<Call*>(call);
  done = caught([&work = work] { work(); });
  return nullptr;
}

}  // namespace

Status run_on_stack(std::size_t bytes, const std::function<void()>& work) {
  bytes = (std::max(bytes, kStackBytesMin) + kPageBytes - 1) / kPageBytes * kPageBytes;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_t thread{};
  Call call{work, {}};
  int error = pthread_attr_setstacksize(&attributes, bytes);
  if (error == 0) error = pthread_create(&thread, &attributes, carry_out, &call);
  pthread_attr_destroy(&attributes);
  if (error != 0)
    return fail(Code::kOutOfMemory, "the system gives no thread with a stack of " +
                                        std::to_string(bytes) + " bytes: " + std::strerror(error));
  pthread_join(thread, nullptr);
  return call.done;
}

}  // namespace choir

// Admission of an executor beside those that are in memory. Pure.
#pragma once

#include <string>
#include <vector>

#include "policy/admit.h"
#include "runtime/executor_table.h"

namespace choir {

// As admit(); the error also names those of `rows` that are in memory.
Status admit_beside(const std::vector<ExecutorRow>& rows, const std::string& name,
                    const ExecutorBytes& need, const MemoryView& memory);

// The same of other sizes for one of them: its new memory is needed while it still has the old one.
Status admit_resize(const std::vector<ExecutorRow>& rows, const std::string& name,
                    const ExecutorBytes& need, const MemoryView& memory);

}  // namespace choir

#include "base/caught.h"

#include <exception>
#include <new>
#include <system_error>

namespace choir {

Error error_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {Code::kOutOfMemory, "no memory for it"};
  } catch (const std::system_error& error) {
    return {Code::kUnavailable, std::string("the system refused: ") + error.what()};
  } catch (const std::exception& error) {
    return {Code::kEngineFailed, std::string("unexpected failure: ") + error.what()};
  } catch (...) {
    return {Code::kEngineFailed, "unexpected failure without a reason"};
  }
}

}  // namespace choir

// choir/machine.h: version(). Here, because the engine knows its own.
#include <build-info.h>
#include <ggml-cpu.h>
#include <llama.h>

#include <string>

#include "choir/machine.h"
#include "engine/llama_runtime.h"
#include "kernels/takeover.h"

#ifndef CHOIR_VERSION
#define CHOIR_VERSION "0.1.0"
#endif
#ifndef CHOIR_ENGINE_COMMIT
#define CHOIR_ENGINE_COMMIT llama_commit()
#endif

namespace choir {

Version version() {
  start_llama();
  Version v;
  v.choir = CHOIR_VERSION;
  v.engine = std::string("llama.cpp ") + llama_version() + " (" + CHOIR_ENGINE_COMMIT + ")";
  v.compiler = std::string("g++ ") + __VERSION__;
#ifdef __clang__
  v.compiler = std::string("clang ") + __clang_version__;
#endif
  v.kernels = kernels::path_text();
  // "CPU : AVX2 = 1 | AVX512 = 1 | ..." keeps what is on. Asked for once: the engine writes it into
  // a string that all threads share.
  static const std::string& info = *new std::string(llama_print_system_info());
  for (std::size_t at = info.find(" = 1"); at != std::string::npos;
       at = info.find(" = 1", at + 1)) {
    std::size_t begin = info.find_last_of(" |:", at - 1);
    begin = begin == std::string::npos ? 0 : begin + 1;
    if (!v.engine_features.empty()) v.engine_features += ' ';
    v.engine_features += info.substr(begin, at - begin);
  }
  return v;
}

}  // namespace choir

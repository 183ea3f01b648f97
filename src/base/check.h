// A bug aborts, in release too: CHOIR_CHECK(begin == computed, "slice starts where KV ends").
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHOIR_CHECK(condition, why)                                                               \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      std::fprintf(stderr, "choir: bug at %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, why); \
      std::abort();                                                                               \
    }                                                                                             \
  } while (false)

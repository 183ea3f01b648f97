// CHOIR_API marks the classes and functions that libchoir.so exports. Everything else, the engine
// included, is not visible outside of the library.
#pragma once

#define CHOIR_API __attribute__((visibility("default")))

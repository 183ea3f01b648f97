// CHOIR_API marks what libchoir.so exports; everything else, the engine included, stays inside it.
#pragma once

#define CHOIR_API __attribute__((visibility("default")))

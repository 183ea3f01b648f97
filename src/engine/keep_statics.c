// In the engine's archives calls of __cxa_atexit go here (cmake/ChoirEngine.cmake): its static
// objects are never destroyed, because the process may exit while lanes or loads still use them.
int choir_keep_static(void (*destroy)(void*), void* object, void* library);

int choir_keep_static(void (*destroy)(void*), void* object, void* library) {
  (void)destroy;
  (void)object;
  (void)library;
  return 0;
}

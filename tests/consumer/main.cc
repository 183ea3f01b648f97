// Uses an installed Choir as a stranger would: one header, one call.
#include <choir/request.h>

#include <iostream>

int main() {
  std::cout << "a request can end with: " << choir::to_string(choir::Finish::kStop) << '\n';
  return choir::to_string(choir::Finish::kStop).empty() ? 1 : 0;
}

#include "interrupt.h"

#include <unistd.h>

#include <csignal>

#include "exit_code.h"

namespace choir::app {
namespace {

std::atomic<bool> asked{false};
std::atomic<bool> graceful{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may use it");

void on_interrupt(int /*signal*/) {
  if (!graceful.load() || asked.exchange(true)) _exit(kExitInterrupted);
}

void on_broken_pipe(int /*signal*/) {}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signals() {
  handle(SIGINT, on_interrupt);
  // A handler and not SIG_IGN, which the programs we start would inherit.
  handle(SIGPIPE, on_broken_pipe);
}

bool interrupted() { return asked.load(); }
const std::atomic<bool>& interrupt_flag() { return asked; }

Graceful::Graceful() {
  asked.store(false);
  graceful.store(true);
}
Graceful::~Graceful() { graceful.store(false); }

}  // namespace choir::app

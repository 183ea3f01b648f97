// choir top: a running daemon on a terminal, or as lines.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>

#include "command.h"
#include "exit_code.h"
#include "interrupt.h"
#include "terminal.h"
#include "top/draw.h"
#include "top/follower.h"
#include "top/screen.h"
#include "which_daemon.h"

namespace choir::app {
namespace {

using top::Follower;
using top::View;
using SteadyClock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kScreenEvery{500};
constexpr Milliseconds kLinesEvery{1000};
constexpr Milliseconds kOnceLooks{600};  // so that speeds and lanes are known
constexpr std::chrono::seconds kFirstAnswer{10};
constexpr int kPipeColumns = 120;

struct TopOptions {
  WhichDaemon daemon;
  bool once = false;
  bool json = false;
};

// ---- signals ------------------------------------------------------------------------------------

std::atomic<int> end_signal{0};
std::atomic<bool> stop_asked{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use it");

// While a screen is there: the terminal is given back before the process ends or stops.
class ScreenSignals {
 public:
  ScreenSignals() {
    for (const int signal : {SIGTERM, SIGHUP}) handle(signal, [](int s) { end_signal.store(s); });
    handle(SIGTSTP, [](int) { stop_asked.store(true); });
  }
  ~ScreenSignals() {
    for (const int signal : {SIGTERM, SIGHUP, SIGTSTP}) handle(signal, SIG_DFL);
  }
  ScreenSignals(const ScreenSignals&) = delete;
  ScreenSignals& operator=(const ScreenSignals&) = delete;

  // Returns when the process goes on.
  static void stop() {
    handle(SIGTSTP, SIG_DFL);
    std::raise(SIGTSTP);
    handle(SIGTSTP, [](int) { stop_asked.store(true); });
  }

 private:
  static void handle(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
};

// ---- what is seen -------------------------------------------------------------------------------

std::int64_t unix_ms() {
  return std::chrono::duration_cast<Milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

double seconds_now() {
  return std::chrono::duration<double>(SteadyClock::now().time_since_epoch()).count();
}

void look(View& view, const Follower& follower) {
  view.not_live = follower.not_live();
  if (view.chosen.frozen) return;
  view.state = follower.state();
  view.now_ms = unix_ms();
  if (view.not_live.empty()) view.rates.look(view.state, seconds_now());
}

// Until both tables have come.
Status first_picture(Follower& follower) {
  const auto end = SteadyClock::now() + kFirstAnswer;
  while (!follower.knows_all()) {
    CHOIR_CHECK_OK(follower.first_failure());
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    if (SteadyClock::now() > end) return fail(Code::kUnavailable, "the daemon tells nothing");
    follower.wait(Milliseconds(100));
  }
  return {};
}

// ---- lines --------------------------------------------------------------------------------------

// Waits so long, and takes what comes meanwhile.
void pass_time(Follower& follower, Milliseconds time) {
  const auto end = SteadyClock::now() + time;
  while (SteadyClock::now() < end && !interrupted()) {
    watch_output();
    const auto left = std::chrono::ceil<Milliseconds>(end - SteadyClock::now());
    follower.wait(std::clamp(left, Milliseconds(0), Milliseconds(250)));
  }
}

// All rows, without what is for keys.
std::string whole_picture(const View& view) {
  const auto& s = view.state;
  const std::size_t rows = 24 + 4 * s.lanes.size() + 2 * s.models.size() + s.requests.size();
  const int columns = is_terminal(Stream::kOut) ? window(Stream::kOut).columns : kPipeColumns;
  top::Grid grid = top::draw_top(view, {columns, static_cast<int>(rows)});
  grid.rows.pop_back();
  std::string text = top::text_of(grid);
  text.erase(text.find_last_not_of('\n') + 1);
  return text + "\n";
}

Result<int> lines(const TopOptions& options, Follower& follower) {
  View view;
  view.coloured = false;
  CHOIR_CHECK_OK(first_picture(follower));
  look(view, follower);
  if (options.once) pass_time(follower, kOnceLooks);
  while (!interrupted() && output_error() == 0) {
    look(view, follower);
    if (options.json)
      print(top::json_line(view) + "\n");
    else if (options.once)
      print(whole_picture(view));
    else
      print(top::plain_line(view) + "\n");
    if (options.once) return kExitOk;
    pass_time(follower, kLinesEvery);
  }
  return output_error() == 0 ? kExitInterrupted : kExitFailed;
}

// ---- a screen -----------------------------------------------------------------------------------

// Takes the keys that were pressed; false: q.
bool take_keys(View& view, top::Screen& screen, Follower& follower, bool& changed) {
  while (const auto press = screen.pressed()) {
    changed = true;
    if (press->resized) continue;
    switch (top::press(view, press->key, press->character)) {
      case top::Effect::kQuit:
        return false;
      case top::Effect::kAsk: {
        const top::Chosen::Question question = *view.chosen.question;
        view.chosen.question.reset();
        view.chosen.notice = "...";
        follower.ask(question, [&view](std::string told) { view.chosen.notice = std::move(told); });
        break;
      }
      case top::Effect::kNone:
        break;
    }
  }
  return true;
}

// Draws until q, Ctrl-C or a signal.
void show(View& view, top::Screen& screen, Follower& follower) {
  auto next = SteadyClock::now();
  bool changed = true;
  while (!interrupted() && end_signal.load() == 0) {
    if (stop_asked.exchange(false)) {
      screen.leave();
      ScreenSignals::stop();
      screen.come_back();
      changed = true;
    }
    const auto now = SteadyClock::now();
    if (changed || now >= next) {
      if (now >= next) next = now + kScreenEvery;
      look(view, follower);
      screen.show(top::draw_top(view, screen.size()));
    }
    const auto left = std::chrono::ceil<Milliseconds>(next - SteadyClock::now());
    const std::string notice = view.chosen.notice;
    follower.wait(std::clamp(left, Milliseconds(0), kScreenEvery), STDIN_FILENO);
    changed = view.chosen.notice != notice;
    if (!take_keys(view, screen, follower, changed)) return;
  }
}

Result<int> run(const TopOptions& options) {
  const serve::DaemonAddress daemon = CHOIR_TRY(address_of(options.daemon));
  const Graceful graceful;
  View view;
  Follower follower(daemon);
  if (options.once || options.json || !can_redraw(Stream::kOut) || isatty(STDIN_FILENO) != 1)
    return lines(options, follower);
  CHOIR_CHECK_OK(first_picture(follower));
  {
    const ScreenSignals signals;
    const std::unique_ptr<top::Screen> screen = top::open_screen();
    if (!screen) return lines(options, follower);
    view.coloured = screen->coloured();
    view.blocks = screen->blocks();
    show(view, *screen, follower);
  }
  if (const int signal = end_signal.load(); signal != 0) std::raise(signal);
  return interrupted() ? kExitInterrupted : kExitOk;
}

}  // namespace

void add_top(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command = add_command(root, "top", "Watch a running daemon: lanes, models, requests",
                                  "  choir top\n"
                                  "  choir top --once\n"
                                  "  choir top --json | head -2\n"
                                  "  choir top --host 192.168.0.5:8411");
  add_which_daemon(*command, options->daemon);
  command->add_flag("--once", options->once, "Print one picture and end");
  command->add_flag("--json", options->json, "Print a line of JSON each second");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace choir::app

// Decides on how many of its lane's threads a pass computes.
//
// More are not always faster: the operations of a small model are shorter than the barriers between
// them, and beside other programs every barrier waits for the thread that has lost its core. That
// cannot be known beforehand, so it is measured: now and then passes of one size alternate between
// the number in use and a neighbouring one, and the faster stays. A trial that loses is followed by
// a pause so long that trials cost no more than `loss_max` of the time.
//
// A value without clock or lock; the thread that has the executor's turn owns it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "choir/units.h"

namespace choir {

struct ThreadRules {
  Nanos span = std::chrono::milliseconds(4);     // one side computes so long, then the other
  int rounds = 3;                                // spans of each side until the trial is decided
  double better = 0.93;                          // the other side wins below this part of the cost
  double loss_max = 0.02;                        // of the time, for trials that lose
  Nanos pause = std::chrono::milliseconds(100);  // between trials; doubled by each that loses
  Nanos pause_max = std::chrono::seconds(8);     // so long until the end of a disturbance is seen
  Nanos pass_max = std::chrono::milliseconds(250);  // longer ones are not slowed down for a trial
};

class ThreadChoice {
 public:
  explicit ThreadChoice(const ThreadRules& rules = {}) : rules_(rules) {}

  // The number for the next pass, of `tokens` >= 1, on a lane of `threads` >= 1; may begin a trial.
  int choose(int threads, std::int32_t tokens, Instant now);
  // What that pass took. Not for one that was cut short.
  void took(int threads, std::int32_t tokens, int used, Nanos elapsed, Instant now);
  // The number in use for such passes, whatever is being tried.
  int in_use(int threads, std::int32_t tokens) const;

 private:
  struct Side {
    double seconds = 0;
    double tokens = 0;
    double cost() const { return seconds / tokens; }
  };
  // What is known of passes of one size: all counts of tokens with the same logarithm.
  struct Book {
    int used = 0;            // 0: nothing known, all threads
    int passes = 0;          // up to kPassesFirst
    double usual = 0;        // seconds a token, over many passes
    double recent = 0;       // over few
    bool disturbed = false;  // recent has left usual, and no trial has looked into it yet
    int direction = 0;       // of the next trial, in kDirections
    Instant next;            // trial, if all goes on as it does
    Instant not_before;      // whatever happens
    Nanos pause{0};

    int other = 0;  // in trial; 0: there is none
    std::int32_t tokens = 0;
    std::array<Side, 2> sides;  // in use, other
    bool others_turn = false;
    Nanos span{0};
    int rounds = 0;
    int strangers = 0;  // passes of other counts in between
  };
  static constexpr std::size_t kSizes = 10;
  using Books = std::array<Book, kSizes>;

  Book& book(int threads, std::int32_t tokens);
  void begin_trial(Book& book, int threads, std::int32_t tokens, Instant now) const;
  void count(Book& book, int used, std::int32_t tokens, Nanos elapsed, Instant now) const;
  bool decided(const Book& book) const;
  void decide(Book& book, Instant now) const;

  ThreadRules rules_;
  std::vector<Books> lanes_;  // by number of threads
};

// The numbers worth trying on a lane of `threads`, relative to `from`: `steps` rungs up (> 0) or
// down a ladder of all, all but one, three quarters, a half, a quarter ... 1. 0: there is none.
int neighbour(int threads, int from, int steps);

}  // namespace choir

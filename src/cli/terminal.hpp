// What the program and its surroundings say to each other: standard streams, signals, log, progress.
#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace decovec::cli {

/// The reader of standard output went away: the program ends quietly with status 0.
struct ClosedPipe : std::exception {};

/// Ctrl-C (or SIGTERM) while an `InterruptGuard` stood: the program ends with status 128 + signal.
struct Interrupted : std::exception {};

/// Makes std::cin notice interruptions, SIGPIPE an ordinary error, Ctrl-C end the program with status 130,
/// and the log go to standard error. Call once, first.
void prepare_process();

/// While one stands, the first Ctrl-C only sets `interrupted()`, so that staged files are removed and
/// checkpoints are written; a second one ends the program at once. One at a time.
class InterruptGuard {
 public:
  /// `notice` is written to standard error at the first Ctrl-C; a literal.
  explicit InterruptGuard(const char* notice = "");
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// for_each_line of an input file ("-": standard input), which a signal ends even where it waits for a pipe.
void for_each_input_line(const std::filesystem::path& input,
                         const std::function<void(std::string_view line, int64_t number)>& use);

bool interrupted();
void throw_if_interrupted();
/// 128 + the signal that came; SIGINT's where none did.
int interrupted_status();

/// Writes all bytes to standard output at once, unbuffered: hand in whole blocks. Throws ClosedPipe, and
/// std::runtime_error where the bytes cannot be written.
void write_stdout(std::string_view bytes);

/// The log: one line each on standard error, whatever the message holds. Through spdlog, whose headers cost
/// too much to be included everywhere.
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

/// Standard error is a terminal: progress is shown.
bool shows_progress();
/// A person sits at both standard input and standard output.
bool is_interactive();

/// One line on standard error that is drawn over and over, at most ten times a second; nothing where standard
/// error is not a terminal. Gone when the object goes.
class Progress {
 public:
  ~Progress();
  /// `line` is called only when it will be drawn.
  void show(const std::function<std::string()>& line);
  /// "what: done/total texts, rate, time left"; total 0: not known.
  void count(std::string_view what, int64_t done, int64_t total);
  void clear();

 private:
  std::chrono::steady_clock::time_point drawn_{}, started_{};
  std::string what_;  // whose rate `started_` measures
  bool visible_ = false;
};

/// "2:05" or "1:02:05".
std::string clock_time(double seconds);

/// A text on one line: runs of control characters become one space. At most `columns` characters where that
/// is above 0.
std::string one_line(std::string_view text, size_t columns = 0);

}  // namespace decovec::cli

#include "cli/terminal.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <poll.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <streambuf>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "decovec/io/lines.hpp"
#include "io/error.hpp"

namespace decovec::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<const char*> guard_notice{nullptr};  // not null while an InterruptGuard stands
std::atomic<int> signal_seen{0};
std::atomic<int64_t> first_signal{0};  // when it came, in milliseconds
// Readable from the first signal on. A signal between the look at signal_seen and a read, or one that another
// thread took, would not end that read; this ends the wait before it.
int signal_pipe[2] = {-1, -1};

int64_t now_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

extern "C" void on_signal(int signal) {
  const int code = errno;
  const char* notice = guard_notice.load();
  const bool again = signal_seen.exchange(signal) != 0;
  // Who signals a process and its group (timeout, job schedulers) means it once.
  const bool echo = again && now_milliseconds() - first_signal < 500;
  if (!again) {
    first_signal = now_milliseconds();
    (void)!::write(signal_pipe[1], "", 1);
  }
  if (notice == nullptr || (again && !echo)) {
    if (::isatty(STDERR_FILENO)) (void)!::write(STDERR_FILENO, "\n", 1);
    ::_exit(128 + signal);
  }
  if (!echo) (void)!::write(STDERR_FILENO, notice, std::strlen(notice));
  errno = code;
}

void wait_for_input(int descriptor) {
  pollfd waited[2] = {{descriptor, POLLIN, 0}, {signal_pipe[0], POLLIN, 0}};
  do {
    throw_if_interrupted();
  } while (::poll(waited, 2, -1) < 0 && errno == EINTR);
  throw_if_interrupted();
}

// Input whose reads end when a signal came: std::filebuf would go on waiting.
class InterruptibleInput : public std::streambuf {
 public:
  InterruptibleInput(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}

 private:
  int_type underflow() override {
    ssize_t got;
    do {
      wait_for_input(descriptor_);
    } while ((got = ::read(descriptor_, buffer_, sizeof buffer_)) < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0) fail("{}: cannot read: {}", name_, std::generic_category().message(errno));
    setg(buffer_, buffer_, buffer_ + got);
    return got == 0 ? traits_type::eof() : traits_type::to_int_type(buffer_[0]);
  }

  int descriptor_;
  std::string name_;
  char buffer_[1 << 16];
};

size_t terminal_columns(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

void prepare_process() {
  // A standard stream that was closed must not become the number of a file that is opened later.
  for (int descriptor = 0; descriptor <= 2; ++descriptor)
    if (::fcntl(descriptor, F_GETFD) < 0) (void)!::open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);

  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);  // a file at its size limit is a failed write too
  if (::pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
    fail("pipe: cannot open: {}", std::generic_category().message(errno));
  action.sa_handler = on_signal;  // without SA_RESTART: a waiting call returns
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);

  spdlog::set_default_logger(spdlog::stderr_color_st("decovec"));
  spdlog::set_pattern("%n: %^%l%$: %v");

  static InterruptibleInput input(STDIN_FILENO, "standard input");
  std::cin.rdbuf(&input);
  std::cin.exceptions(std::ios::badbit);  // hand on what the buffer throws
}

InterruptGuard::InterruptGuard(const char* notice) { guard_notice = notice; }
InterruptGuard::~InterruptGuard() { guard_notice = nullptr; }

void for_each_input_line(const std::filesystem::path& input,
                         const std::function<void(std::string_view line, int64_t number)>& use) {
  if (input == "-" || std::filesystem::is_directory(input)) return for_each_line(input, use);
  int descriptor;  // not blocking: a pipe's writer is waited for when it is read
  while ((descriptor = ::open(input.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
    if (errno != EINTR) fail("{}: cannot open: {}", input.string(), std::generic_category().message(errno));
    throw_if_interrupted();
  }
  const std::unique_ptr<const int, void (*)(const int*)> closer(&descriptor,
                                                                [](const int* open) { ::close(*open); });
  InterruptibleInput buffer(descriptor, input.string());
  std::istream stream(&buffer);
  for_each_line(stream, input.string(), use);
}

bool interrupted() { return signal_seen != 0; }
void throw_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}
int interrupted_status() { return 128 + (interrupted() ? signal_seen.load() : SIGINT); }

void write_stdout(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      throw ClosedPipe{};
    } else if (errno == EINTR) {
      throw_if_interrupted();
    } else {
      fail("standard output: cannot write: {}", std::generic_category().message(errno));
    }
  }
}

void log_info(std::string_view message) { spdlog::info("{}", one_line(message)); }
void log_warning(std::string_view message) { spdlog::warn("{}", one_line(message)); }
void log_error(std::string_view message) { spdlog::error("{}", one_line(message)); }

bool shows_progress() {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return terminal;
}

bool is_interactive() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1; }

Progress::~Progress() { clear(); }

void Progress::show(const std::function<std::string()>& line) {
  const auto now = Clock::now();
  if (!shows_progress() || now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  visible_ = true;
  const std::string text = "\r\033[K" + one_line(line(), terminal_columns(STDERR_FILENO) - 1);
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

void Progress::count(std::string_view what, int64_t done, int64_t total) {
  if (what != what_) {
    what_ = what;
    started_ = Clock::now();
  }
  show([&] {
    const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    std::string line = total > 0 ? fmt::format("{}: {}/{} texts, {:.0f} % ", what, done, total,
                                               100.0 * static_cast<double>(done) / static_cast<double>(total))
                                 : fmt::format("{}: {} texts", what, done);
    if (seconds > 1 && rate > 0) {
      line += fmt::format(", {:.0f} texts/s", rate);
      if (total > 0) line += fmt::format(", {} left", clock_time(static_cast<double>(total - done) / rate));
    }
    return line;
  });
}

void Progress::clear() {
  if (visible_) (void)!::write(STDERR_FILENO, "\r\033[K", 4);
  visible_ = false;
  drawn_ = {};
}

std::string clock_time(double seconds) {
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e9));
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string one_line(std::string_view text, size_t columns) {
  std::string line;
  size_t characters = 0, last = 0;  // where the last character begins
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    const bool control = code < 0x20 || code == 0x7f;
    if (control && (line.empty() || line.back() == ' ')) continue;
    if ((code & 0xc0) != 0x80) {  // the first byte of a character
      if (columns > 0 && ++characters > columns) return line.substr(0, last) + "…";
      last = line.size();
    }
    line += control ? ' ' : byte;
  }
  return line;
}

}  // namespace decovec::cli

// Errors of the library: std::invalid_argument for the caller's mistake, std::runtime_error for files and
// environment. Messages read "where: what, expected X, got Y; what to do".
#pragma once
#include <fmt/format.h>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <c10/util/Exception.h>

namespace decovec {

/// Throws std::runtime_error: files, environment, resources.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw std::runtime_error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws std::invalid_argument: a mistake of the caller.
template <class... Args>
[[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) {
  throw std::invalid_argument(fmt::format(format, std::forward<Args>(args)...));
}

/// Runs `body` at a public entry point: LibTorch's own exceptions leave it as std::runtime_error "where:
/// ...".
template <class Body>
decltype(auto) at_boundary(std::string_view where, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const c10::Error& error) {
    const std::string_view what = error.what_without_backtrace();
    // The CPU's allocator has no exception of its own for this.
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
        what.find("can't allocate memory") != what.npos)
      fail("{}: out of memory: {}; use smaller batches (batch_tokens, micro_batch_tokens, batch_size)", where,
           what);
    fail("{}: {}", where, what);
  } catch (const std::bad_alloc&) {
    fail("{}: out of memory; use smaller batches (batch_tokens, micro_batch_tokens, batch_size)", where);
  }
}

}  // namespace decovec

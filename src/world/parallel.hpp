// LibTorch's threads for our own loops.
#pragma once
#include <cstdint>
#include <functional>

namespace decovec {

/// Calls body(first, last) for parts of [begin, end) of at least `grain` indices, on LibTorch's threads;
/// LibTorch operations inside run on one thread each. An exception of any part is thrown here.
///
/// at::parallel_for is a header template that is serial unless the calling source is compiled for OpenMP;
/// this is the one source that is.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& body);

}  // namespace decovec

#include "world/parallel.hpp"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "compile this source with OpenMP: without it the loop would be serial"
#endif

namespace decovec {

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& body) {
  at::parallel_for(begin, end, grain, body);
}

}  // namespace decovec

// Batches made by a thread while the one before is trained.
#pragma once
#include <cstdint>
#include <functional>
#include <future>
#include <utility>
#include <vector>

#include "train/step_batch.hpp"

namespace decovec {

/// A step's batch, and where the sampler stands after it.
struct PreparedBatch {
  StepBatch batch;
  std::vector<int64_t> positions;
};

/// Calls `make` for one step after the other, each call while the caller works on the batch before: time, not
/// order or result. An error is thrown by the `next` of its step. Destruction waits for a call that runs.
class BatchesAhead {
 public:
  /// Of steps first to last; where not `ahead`, `next` makes the batch itself.
  BatchesAhead(std::function<PreparedBatch(int64_t step)> make, int64_t first, int64_t last, bool ahead)
      : make_(std::move(make)), step_(first), last_(last), ahead_(ahead) {}

  PreparedBatch next() {
    PreparedBatch batch = coming_.valid() ? coming_.get() : make_(step_);
    ++step_;
    if (ahead_ && step_ <= last_)
      coming_ = std::async(std::launch::async, [this, step = step_] { return make_(step); });
    return batch;
  }

 private:
  std::function<PreparedBatch(int64_t step)> make_;
  int64_t step_, last_;
  bool ahead_;
  std::future<PreparedBatch> coming_;  // last: its destructor waits for the call, which uses the rest
};

}  // namespace decovec

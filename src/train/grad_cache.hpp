// The exact gradient of a batch's loss with the graph of one micro batch in memory. It knows neither model
// nor loss. Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
// Setup", arXiv:2101.06983.
#pragma once
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/model/token_batch.hpp"
#include "decovec/world/world.hpp"
#include "train/step_batch.hpp"

namespace decovec {

/// Gradients of holders, summed over micro batches: in float32 where the holder is narrower.
class GradientSum {
 public:
  explicit GradientSum(std::vector<at::Tensor> holders) : holders_(std::move(holders)) {}
  /// Takes what a backward pass left in the holders.
  void take();
  /// Forgets all sums, and what a pass that broke off left in the holders.
  void clear();
  /// This rank's slices, flat, of the sums over all ranks (see shards.hpp), zeros for holders that no pass
  /// reached; empties this. The one reduction of gradients in a step.
  std::vector<at::Tensor> finish(World& world);

 private:
  std::vector<at::Tensor> holders_, sums_;
};

/// Memory ran out, and there is nothing smaller to try.
struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Some of the step's sequences to embeddings [B, D], with a graph where gradients are enabled; the same at
/// each call.
using EmbedFunction = std::function<at::Tensor(const PackedBatch&)>;
/// Some rows' share of a loss of the global batch.
using LossFunction = std::function<at::Tensor(const Embeddings&, FilterCounts*)>;

struct GradCacheOptions {
  int64_t micro_batch_tokens = 4096;  ///< tokens with a graph at once: memory, not the result
  /// Scores with a graph at once: rows times all texts. Never fewer rows than a quarter of the vectors'
  /// width.
  int64_t tile_scores = int64_t{1} << 22;
};

/// A step's loss and, for looking into it, what it was made of.
struct CachedLoss {
  double loss = 0;                 ///< over all ranks
  FilterCounts filtered = {};      ///< of this rank's rows
  int64_t micro_batch_tokens = 0;  ///< what memory held
  at::Tensor embeddings = {};      ///< of this rank's sequences [sequences, D]
  at::Tensor gradients = {};       ///< of the loss with respect to them
  at::Tensor queries = {};         ///< of all ranks [N, D]
  at::Tensor documents = {};       ///< of all ranks [M, D]
};

/// Embeds micro batch after micro batch without a graph, takes the loss's gradient with respect to the
/// embeddings, then embeds again with a graph and sends it on; the last micro batch needs no second forward
/// pass. Each rank evaluates its own rows against the texts of all, and the gradients of every text are
/// summed over ranks. The gradient lands in the holders, and from there in `sum`; nothing does where the loss
/// is not finite. Every rank needs at least one query.
///
/// Where memory runs out, a rank repeats what it was at with half the tokens or scores at once, for the same
/// result. Throws OutOfMemory where single texts or rows do not fit, OtherRankFailed on the other ranks.
CachedLoss accumulate_gradient(const StepBatch& batch, const EmbedFunction& embed, const LossFunction& loss,
                               GradientSum& sum, at::Device device, World& world,
                               const GradCacheOptions& options = {});

}  // namespace decovec

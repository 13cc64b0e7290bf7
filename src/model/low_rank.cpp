#include "model/low_rank.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "model/ops.hpp"

namespace decovec {
namespace {

// [out, in], in the adapter's dtype; the scale is applied before the sum is rounded, as PEFT does.
at::Tensor summed(const at::Tensor& weight, const LowRank& adapter) {
  return weight.to(adapter.a.scalar_type()) + at::mm(adapter.b, adapter.a) * adapter.scale;
}

// What DoRA multiplies each row of the sum by.
at::Tensor row_factors(const at::Tensor& weight, const LowRank& adapter) {
  const at::NoGradGuard constant;
  return summed(weight.detach(), adapter).norm(2, 1);
}

at::Tensor merged(const at::Tensor& weight, const LowRank& adapter) {
  const at::Tensor sum = summed(weight, adapter);
  if (!adapter.magnitude.defined()) return sum;
  return (adapter.magnitude / sum.norm(2, 1)).unsqueeze(1) * sum;
}

void put(const at::Tensor& weight, const at::Tensor& values) {
  weight.copy_(values);
  if (!at::isfinite(weight).all().item<bool>())
    fail("merge_adapters: the sum of weight and adapter is {}",
         weight.scalar_type() == at::kHalf
             ? "too large for float16; load it as float32 or bfloat16"
             : "not finite; check the adapter's 'lora_alpha' and the weights of both");
}

// The columns `out` of x W^T + bias for an adapter's rows W of the weight, changed; `product` is x W^T, of
// use to DoRA, and `change` x a^T b^T scale.
at::Tensor changed(const at::Tensor& out, const at::Tensor& product, const at::Tensor& change,
                   const at::Tensor& weight, const LowRank& adapter) {
  if (!adapter.magnitude.defined()) return (out + change).to(out.scalar_type());
  const at::Tensor factor = adapter.magnitude / row_factors(weight, adapter);
  return (out + (factor - 1) * product + factor * change).to(out.scalar_type());
}

at::Tensor change_of(const at::Tensor& through_a, const LowRank& adapter) {
  return project(through_a, adapter.b) * adapter.scale;
}

}  // namespace

at::Tensor project(const at::Tensor& x, const Linear& linear, const DropoutPlace& dropout) {
  const at::Tensor out = project(x, linear.weight, linear.bias);
  if (linear.adapters.empty()) return out;
  std::vector<at::Tensor> parts;
  int64_t done = 0;
  const auto keep_until = [&](int64_t column) {
    if (column > done) parts.push_back(out.narrow(1, done, column - done));
  };
  for (const LowRank& adapter : linear.adapters) {
    const int64_t rows = adapter.b.size(0);
    const at::Tensor own_out = out.narrow(1, adapter.row, rows);
    const at::Tensor weight = linear.weight.narrow(0, adapter.row, rows);
    keep_until(adapter.row);
    const at::Tensor input =
        drop(x.to(adapter.a.scalar_type()), dropout.with(static_cast<uint64_t>(adapter.row)));
    const auto product = [&] {
      if (!adapter.magnitude.defined()) return at::Tensor();
      if (dropout.rate > 0) return project(input, weight);
      if (!linear.bias.defined()) return own_out;
      return own_out - linear.bias.narrow(0, adapter.row, rows).to(out.scalar_type());
    };
    const at::Tensor change = change_of(project(input, adapter.a), adapter);
    parts.push_back(changed(own_out, product(), change, weight, adapter));
    done = adapter.row + rows;
  }
  keep_until(out.size(1));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

at::Tensor look_up(const at::Tensor& embedding, const std::optional<LowRank>& adapter, const at::Tensor& ids,
                   at::ScalarType dtype) {
  const at::Tensor rows = at::embedding(embedding, ids).to(dtype);
  if (!adapter) return rows;
  const at::Tensor change = change_of(at::embedding(adapter->a.t(), ids), *adapter);
  return changed(rows, rows, change, embedding.t(), *adapter);
}

void merge_adapters(Transformer& transformer) {
  const at::NoGradGuard no_graph;
  for (TransformerLayer& layer : transformer.layers) {
    for (Linear* linear : linears(layer)) {
      if (linear->adapters.empty()) continue;
      const at::Tensor weight = linear->weight.detach().clone();
      for (const LowRank& adapter : linear->adapters) {
        const at::Tensor rows = weight.narrow(0, adapter.row, adapter.b.size(0));
        put(rows, merged(rows, adapter));
      }
      linear->weight = weight;
      linear->adapters.clear();
    }
  }
  if (transformer.embedding_adapter) {
    const at::Tensor weight = transformer.embedding.detach().clone();
    put(weight.t(), merged(weight.t(), *transformer.embedding_adapter));
    transformer.embedding = weight;
    transformer.embedding_adapter.reset();
  }
}

at::ScalarType adapter_dtype(at::ScalarType weights) {
  return weights == at::kDouble ? at::kDouble : at::kFloat;
}

bool is_adapter_weight(std::string_view name) { return name.find(".lora_") != std::string_view::npos; }

}  // namespace decovec

#include "model/layer_checkpoint.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "model/low_rank.hpp"

namespace decovec {
namespace {

// Every tensor that a layer may have, in an order of its own.
std::vector<at::Tensor*> tensors_of(TransformerLayer& layer) {
  std::vector<at::Tensor*> list = {&layer.attention_norm,      &layer.q_norm,   &layer.k_norm,
                                   &layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm};
  static_assert(sizeof(TransformerLayer) == 6 * sizeof(at::Tensor) + 4 * sizeof(Linear),
                "a weight is missing from the list");
  for (Linear* linear : linears(layer)) {
    list.insert(list.end(), {&linear->weight, &linear->bias});
    for (LowRank& adapter : linear->adapters)
      list.insert(list.end(), {&adapter.a, &adapter.b, &adapter.magnitude});
  }
  std::erase_if(list, [](const at::Tensor* tensor) { return !tensor->defined(); });
  return list;
}

// What the backward pass needs beside tensors, in the form that autograd's context keeps.
struct LayerCall : torch::CustomClassHolder {
  int64_t index = 0;
  TransformerLayer layer;  // whose tensors the inputs take the place of
  std::shared_ptr<const PackedLayout> layout;
  ModelConfig config;
};

// inputs: hidden, then the layer's tensors.
at::Tensor run(const torch::autograd::variable_list& inputs, const LayerCall& call) {
  TransformerLayer layer = call.layer;
  size_t next = 1;
  for (at::Tensor* tensor : tensors_of(layer)) *tensor = inputs[next++];
  return run_layer(inputs[0], layer, call.index, *call.layout, call.config);
}

class CheckpointedLayer : public torch::autograd::Function<CheckpointedLayer> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs,
                            const c10::intrusive_ptr<LayerCall>& call) {
    context->save_for_backward(inputs.vec());
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return run(inputs.vec(), *call);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& output_gradient) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<LayerCall>(context->saved_data["call"].toCapsule());
    torch::autograd::variable_list inputs, wanted;
    for (const at::Tensor& tensor : saved) {
      inputs.push_back(tensor.detach().requires_grad_(tensor.requires_grad()));
      if (tensor.requires_grad()) wanted.push_back(inputs.back());
    }
    at::Tensor output;
    {
      at::AutoGradMode with_graph(true);
      output = run(inputs, *call);
    }
    const torch::autograd::variable_list found = torch::autograd::grad({output}, wanted, output_gradient);
    torch::autograd::variable_list gradients;
    auto next = found.begin();
    for (const at::Tensor& tensor : saved) {
      gradients.push_back(tensor.requires_grad() ? *next++ : at::Tensor());
    }
    gradients.emplace_back();  // for `call`
    return gradients;
  }
};

}  // namespace

at::Tensor checkpoint_layer(const at::Tensor& hidden, const TransformerLayer& layer, int64_t index,
                            std::shared_ptr<const PackedLayout> layout, const ModelConfig& config) {
  auto call = c10::make_intrusive<LayerCall>();
  call->index = index;
  call->layout = std::move(layout);
  call->config = config;
  call->layer = layer;
  std::vector<at::Tensor> inputs = {hidden};
  for (const at::Tensor* tensor : tensors_of(call->layer)) inputs.push_back(*tensor);
  return CheckpointedLayer::apply(at::TensorList(inputs), call);
}

}  // namespace decovec

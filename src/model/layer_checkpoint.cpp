#include "model/layer_checkpoint.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace decovec {
namespace {

using Layer = TransformerLayer;
constexpr at::Tensor Layer::*kWeights[] = {
    &Layer::attention_norm, &Layer::qkv,           &Layer::qkv_bias,           &Layer::q_norm,
    &Layer::k_norm,         &Layer::attention_out, &Layer::attention_out_bias, &Layer::attention_post_norm,
    &Layer::mlp_norm,       &Layer::gate_up,       &Layer::gate_up_bias,       &Layer::down,
    &Layer::down_bias,      &Layer::mlp_post_norm,
};
static_assert(sizeof(Layer) == std::size(kWeights) * sizeof(at::Tensor), "a weight is missing from the list");

// What the backward pass needs beside tensors, in the form that autograd's context keeps.
struct LayerCall : torch::CustomClassHolder {
  int64_t index = 0;
  std::vector<at::Tensor Layer::*> weights;  // those that the family has
  std::shared_ptr<const PackedLayout> layout;
  ModelConfig config;
};

// inputs: hidden, then call.weights.
at::Tensor run(const torch::autograd::variable_list& inputs, const LayerCall& call) {
  Layer layer;
  for (size_t i = 0; i < call.weights.size(); ++i) layer.*call.weights[i] = inputs[i + 1];
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
  std::vector<at::Tensor> inputs = {hidden};
  for (const auto weight : kWeights) {
    if (!(layer.*weight).defined()) continue;
    call->weights.push_back(weight);
    inputs.push_back(layer.*weight);
  }
  return CheckpointedLayer::apply(at::TensorList(inputs), call);
}

}  // namespace decovec

#include "model/layer_checkpoint.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace decovec {
namespace {

// What the backward pass needs beside tensors, in the form that autograd's context keeps.
struct LayerCall : torch::CustomClassHolder {
  LayerCall(std::shared_ptr<const PackedLayout> packed, ModelConfig model)
      : layout(std::move(packed)), config(std::move(model)) {}
  std::shared_ptr<const PackedLayout> layout;
  ModelConfig config;
};

TransformerLayer as_layer(const torch::autograd::variable_list& weights) {
  return {.attention_norm = weights[1],
          .qkv = weights[2],
          .attention_out = weights[3],
          .mlp_norm = weights[4],
          .gate_up = weights[5],
          .down = weights[6]};
}

class CheckpointedLayer : public torch::autograd::Function<CheckpointedLayer> {
 public:
  // inputs: hidden, then the layer's weights in the order of as_layer.
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs,
                            const c10::intrusive_ptr<LayerCall>& call) {
    context->save_for_backward(inputs.vec());
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return run_layer(inputs[0], as_layer(inputs.vec()), *call->layout, call->config);
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
      output = run_layer(inputs[0], as_layer(inputs), *call->layout, call->config);
    }
    const torch::autograd::variable_list found = torch::autograd::grad({output}, wanted, output_gradient);
    torch::autograd::variable_list gradients;
    auto next = found.begin();
    for (const at::Tensor& tensor : saved)
      gradients.push_back(tensor.requires_grad() ? *next++ : at::Tensor());
    gradients.emplace_back();  // for `call`
    return gradients;
  }
};

}  // namespace

at::Tensor checkpoint_layer(const at::Tensor& hidden, const TransformerLayer& layer,
                            std::shared_ptr<const PackedLayout> layout, const ModelConfig& config) {
  const std::vector<at::Tensor> inputs = {
      hidden,         layer.attention_norm, layer.qkv, layer.attention_out,
      layer.mlp_norm, layer.gate_up,        layer.down};
  return CheckpointedLayer::apply(at::TensorList(inputs),
                                  c10::make_intrusive<LayerCall>(std::move(layout), config));
}

}  // namespace decovec

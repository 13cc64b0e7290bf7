// The adapter_config.json of PEFT, and the modules that it targets in a small decoder.
#include "model/adapter_config.hpp"

#include "fuzz/fuzz.hpp"
#include "model/adapter_targets.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  static Transformer transformer = empty_transformer({.family = "qwen2",
                                                      .vocab_size = 8,
                                                      .hidden_size = 8,
                                                      .intermediate_size = 8,
                                                      .layers = 2,
                                                      .heads = 2,
                                                      .kv_heads = 1,
                                                      .head_dim = 4},
                                                     at::kFloat, at::kCPU);
  const auto file = folder.put("adapter_config.json", fuzz::text_of(data, size));
  return fuzz::check({"adapter_config.json"}, [&] {
    const AdapterConfig config = read_adapter_config(folder.path());
    for (const std::string prefix : {"", "model."}) find_targets(transformer, config, prefix, file.string());
  });
}

// A program of another project: makes a tiny model and embeds two texts with it.
#include <decovec/decovec.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto tokenizer = decovec::Tokenizer::from_sentencepiece(argv[1]);
  decovec::ModelConfig config;
  config.vocab_size = tokenizer->size();
  config.hidden_size = config.intermediate_size = 32;
  config.layers = config.heads = config.kv_heads = 1;
  config.head_dim = 32;
  const auto model = decovec::Embedder::create(config, tokenizer,
                                               {.attention = decovec::Attention::bidirectional,
                                                .pooling = decovec::Pooling::latent_attention});
  const at::Tensor vectors = model.encode({"one text", "another"});
  std::cout << vectors.size(0) << " x " << vectors.size(1) << "\n";
  return vectors.size(0) == 2 && vectors.size(1) == 32 ? 0 : 1;
}

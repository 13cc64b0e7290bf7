#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/heads.hpp"
#include "decovec/model/pooling.hpp"
#include "decovec/model/token_batch.hpp"
#include "decovec/model/transformer.hpp"
#include "decovec/text/tokenizer.hpp"

namespace decovec {

/// What to load a folder as. Fields left empty follow the folder.
struct LoadOptions {
  /// cpu or cuda. CUDA libraries are loaded when a CUDA device is asked for.
  at::Device device = at::kCPU;
  /// The weights' dtype in memory; the folder's own where empty. float16 on a CPU computes in float32.
  std::optional<at::ScalarType> dtype = std::nullopt;
  /// Overrides the mask that the folder states.
  std::optional<Attention> attention = std::nullopt;
  /// The folder of the Dense to use in place of the one that modules.json names, where a model comes with
  /// several ("2_Dense_2048" of stella); empty: the one it names.
  std::string dense = {};
  /// How to pool where the folder does not say, or instead of what it says.
  std::optional<Pooling> pooling = std::nullopt;
  /// EOS after each text: overrides the folder. Where empty, a folder that becomes an embedder by `pooling`
  /// gets EOS for last_token and latent_attention, and follows its tokenizer for mean.
  std::optional<bool> eos = std::nullopt;
  /// The longest text in ids; 0: the folder's.
  int64_t max_length = 0;
  /// Sizes of a latent attention that the folder does not have; head_dim and latent_dim 0: the hidden size.
  LatentAttentionConfig latent_attention = {.head_dim = 0, .latent_dim = 0};
  /// Whether a folder without latent attention may get a fresh one (to be trained); false refuses.
  bool fresh_weights = true;
  /// Draws fresh weights.
  uint64_t seed = 1;
  /// Adapter folders of PEFT (LoRA), applied in this order after the folder's own.
  std::vector<std::filesystem::path> adapters = {};
  /// The base model's folder, where the folder is an adapter's whose base_model_name_or_path is none here.
  std::filesystem::path base = {};
  /// Whether the last adapter becomes part of the weights, as the others do, or stays beside them: slower,
  /// and the way to save it as an adapter or to train it.
  bool merge_adapters = true;
};

struct EncodeOptions {
  /// The instruction put before every text; the folder's default prompt (most have none) where empty.
  std::optional<std::string> prompt = std::nullopt;
  /// Text put after every text, as part of it ("\n<response>" of bge-en-icl's queries).
  std::string suffix = {};
  /// Ids at most, special ones counted; 0: the model's.
  int64_t max_length = 0;
  /// What to do with a text longer than that.
  Truncate truncate = Truncate::error;
  /// Columns kept of each vector, which is then divided by its L2 norm (Matryoshka); 0: the vectors as they
  /// are. At most the model's dimensions().
  int64_t dimensions = 0;
  /// Tokens computed at once: more is faster up to a point and takes more memory.
  int64_t batch_tokens = 4096;
  /// Called now and then with the number of texts done, from the calling thread.
  std::function<void(int64_t done, int64_t total)> on_progress = {};
  /// Called at the end with the number of texts that were cut, where there are any.
  std::function<void(int64_t texts)> on_truncated = {};
};

/// A text that cannot become a sequence: too long, or not UTF-8. what() reads "text 17: ...".
struct TextError : std::invalid_argument {
  TextError(int64_t text, const std::string& reason);
  int64_t text;        ///< its index in the call, from 0
  std::string reason;  ///< without the index
};

/// What says how a folder's model is used.
enum class FolderLayout {
  plain_decoder,          ///< the caller's options
  nv_embed,               ///< its config.json
  sentence_transformers,  ///< its modules.json
  known_embedder,         ///< decovec, which knows the model (GritLM, LLM2Vec, ...: docs/models.md)
};

/// A model that turns texts into vectors: tokenizer, transformer, pooling, normalisation, prompts.
///
/// Const calls are thread-safe. Public data is what training changes and what programs show.
class Embedder {
 public:
  /// Reads a model folder: NV-Embed's layout, a sentence-transformers folder, another known embedder's, or a
  /// plain decoder (which needs `options.pooling`). Weights are safetensors or pytorch_model.bin (see
  /// TensorFiles); all shapes are checked before memory is taken, and little more than the model's own size
  /// is. Nothing is downloaded, and nothing of a file is run. Throws std::runtime_error for a folder that is
  /// broken or that decovec would have to guess about, std::invalid_argument for options that contradict it.
  static Embedder load(const std::filesystem::path& folder, const LoadOptions& options = {});

  /// A model with random weights, drawn by options.seed: the recipe's [model.new].
  static Embedder create(const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer,
                         const LoadOptions& options);

  /// Writes the folder whole (its name appears last): NV-Embed's layout for latent attention, else a
  /// sentence-transformers folder. Where an adapter lies beside the weights, it alone is written, as PEFT
  /// writes it, and names the base's folder. Weights in `dtype`, or as they are. Throws std::runtime_error
  /// where the folder exists and is not empty.
  void save(const std::filesystem::path& folder, std::optional<at::ScalarType> dtype = std::nullopt) const;

  /// Puts a new adapter beside the weights, which it does not change yet: A uniform within 1 / sqrt(in), B
  /// zero, DoRA's magnitudes the lengths of the weights' rows, as PEFT begins; the embedding's B is what is
  /// drawn. Only `config.base` is not read: the base is the folder that the model was loaded from. Throws
  /// std::invalid_argument where there is one beside the weights already, and for a config that does not fit
  /// the model, a name without a module included.
  void add_adapter(const AdapterConfig& config, uint64_t seed = 1);

  /// Makes an adapter that lies beside the weights a part of them. Copies of the model keep theirs.
  void merge_adapters();

  /// texts to vectors [N, D], float32 on the CPU, in the order given. A text's vector does not depend on the
  /// others. D is options.dimensions, or dimensions(). Throws TextError for a text that cannot be encoded.
  at::Tensor encode(const std::vector<std::string>& texts, const EncodeOptions& options = {}) const;

  /// The path that encode and training share: packed tokens to embeddings [B, D], with a graph where
  /// gradients are enabled and the weights require them.
  at::Tensor embed(const TokenBatch& batch, const ForwardOptions& options = {}) const;

  /// Text to ids by this model's rule (see make_sequence).
  TokenSequence sequence(std::string_view instruction, std::string_view text,
                         Truncate truncate = Truncate::error, int64_t max_length = 0) const;

  /// Throws std::invalid_argument where texts are to be cut (Truncate::right) and the prompt fills the maximal
  /// length, so that all texts would have the same vector. `encode` does not ask: it gives that vector.
  void check_room(const EncodeOptions& options) const;

  /// What texts begin with where the caller gives no prompt: the default prompt's text, or nothing.
  std::string default_instruction() const;

  /// The prompt saved under a name. Throws std::invalid_argument that lists the names there are.
  const std::string& prompt(const std::string& name) const;

  /// Every trained tensor under the name it is saved with.
  std::vector<Parameter> parameters() const;
  /// D. Throws std::invalid_argument for heads that do not fit.
  int64_t dimensions() const;
  at::Device device() const { return transformer.embedding.device(); }
  at::ScalarType dtype() const { return transformer.embedding.scalar_type(); }

  std::shared_ptr<const Tokenizer> tokenizer;
  SequenceRule rule;
  Transformer transformer;
  std::vector<Pooling> pooling = {Pooling::mean};  ///< their vectors lie side by side; mostly one
  std::optional<LatentAttention> latents;          ///< set for Pooling::latent_attention
  std::vector<Head> heads = {Normalize{}};         ///< what follows the pooling, in order
  std::map<std::string, std::string> prompts;      ///< name to instruction
  std::string default_prompt;                      ///< a name in `prompts`, or empty
  std::string similarity_fn = "cosine";  ///< also dot, euclidean, manhattan: how to compare the vectors
  FolderLayout layout = FolderLayout::plain_decoder;  ///< what it was loaded from
  std::filesystem::path base;     ///< the folder of the weights, absolute; empty for a new model
  std::vector<Adapter> adapters;  ///< applied in this order; the last may lie beside the weights
};

/// Cosine of every row of `a` [N, D] with every row of `b` [M, D]: [N, M].
at::Tensor similarity(const at::Tensor& a, const at::Tensor& b);

}  // namespace decovec

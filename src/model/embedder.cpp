#include "decovec/model/embedder.hpp"

#include <mutex>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "model/folder.hpp"
#include "world/parallel.hpp"

namespace decovec {
namespace {

// Texts tokenized before the first of them is computed: bounds the ids in memory, and leaves enough to sort
// by length.
constexpr int64_t kTextsPerBlock = 16384;

// Tokenizes texts [begin, end) on all cores; of several faulty texts the first is reported.
std::vector<TokenSequence> tokenize(const Embedder& model, const std::vector<std::string>& texts,
                                    int64_t begin, int64_t end, const std::string& prompt,
                                    const EncodeOptions& options) {
  std::vector<TokenSequence> sequences(static_cast<size_t>(end - begin));
  std::mutex mutex;
  std::optional<TextError> first_error;
  parallel_for(begin, end, /*grain=*/64, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      try {
        const std::string& text = texts[static_cast<size_t>(i)];
        sequences[static_cast<size_t>(i - begin)] =
            model.sequence(prompt, options.suffix.empty() ? text : text + options.suffix, options.truncate,
                           options.max_length);
      } catch (const std::invalid_argument& error) {
        const std::lock_guard lock(mutex);
        if (!first_error || i < first_error->text) first_error.emplace(i, error.what());
        return;
      }
    }
  });
  if (first_error) throw *first_error;
  return sequences;
}

// The latent attention's weights, which a model of that pooling must have.
const LatentAttention& latents_of(const Embedder& model) {
  if (!model.latents) reject("Embedder: pooling is latent_attention, and `latents` is empty");
  if (model.pooling.size() > 1)
    reject("Embedder: pooling: latent_attention stands alone, got it among others");
  return *model.latents;
}

}  // namespace

TextError::TextError(int64_t text, const std::string& reason)
    : std::invalid_argument(fmt::format("text {}: {}", text, reason)), text(text), reason(reason) {}

at::Tensor Embedder::embed(const TokenBatch& batch, const ForwardOptions& options) const {
  return at_boundary("Embedder::embed", [&] {
    at::Tensor states = forward(transformer, batch, options);
    if (folder::uses_latents(pooling)) states = latent_attention(latents_of(*this), states);
    return apply(heads, pool(pooling, states, batch));
  });
}

at::Tensor Embedder::encode(const std::vector<std::string>& texts, const EncodeOptions& options) const {
  return at_boundary("Embedder::encode", [&] {
    const at::NoGradGuard no_graph;
    const std::string instruction = options.prompt.value_or(default_instruction());
    const auto total = static_cast<int64_t>(texts.size());
    const int64_t width = options.dimensions == 0 ? dimensions() : options.dimensions;
    if (width < 1 || width > dimensions())
      reject("encode: dimensions: expected 1 to the model's {}, got {}", dimensions(), width);
    at::Tensor embeddings = at::empty({total, width}, at::kFloat);
    int64_t done = 0, truncated = 0;
    for (int64_t begin = 0; begin < total; begin += kTextsPerBlock) {
      const int64_t end = std::min(begin + kTextsPerBlock, total);
      const std::vector<TokenSequence> sequences = tokenize(*this, texts, begin, end, instruction, options);
      for (const TokenSequence& sequence : sequences) truncated += sequence.truncated;
      for (const PackedBatch& packed : pack(sequences, options.batch_tokens, device())) {
        const at::Tensor rows = at::tensor(packed.rows, at::kLong) + begin;
        at::Tensor vectors = embed(packed.batch).to(at::kCPU, at::kFloat);
        if (options.dimensions > 0) vectors = apply({Truncation{width}, Normalize{}}, vectors);
        embeddings.index_copy_(0, rows, vectors);
        done += packed.batch.sequences();
        if (options.on_progress) options.on_progress(done, total);
      }
    }
    if (truncated > 0 && options.on_truncated) options.on_truncated(truncated);
    return embeddings;
  });
}

TokenSequence Embedder::sequence(std::string_view instruction, std::string_view text, Truncate truncate,
                                 int64_t max_length) const {
  return make_sequence(*tokenizer, rule, instruction, text, truncate, max_length);
}

void Embedder::check_room(const EncodeOptions& options) const {
  if (options.truncate != Truncate::right) return;
  const TokenSequence alone =
      sequence(options.prompt.value_or(default_instruction()), "", Truncate::right, options.max_length);
  const bool cut_eos = rule.eos == EndOfText::cut && !alone.truncated;  // a text would push it out
  const int64_t limit = options.max_length == 0 ? rule.max_length : options.max_length;
  if (alone.truncated || static_cast<int64_t>(alone.ids.size()) - (cut_eos ? 1 : 0) >= limit)
    reject(
        "with the special tokens, the prompt fills max_length = {} and leaves no room for a text; shorten it "
        "or raise max_length (--max-length)",
        limit);
}

std::string Embedder::default_instruction() const {
  return default_prompt.empty() ? "" : prompt(default_prompt);
}

const std::string& Embedder::prompt(const std::string& name) const {
  const auto found = prompts.find(name);
  if (found != prompts.end()) return found->second;
  std::string known;
  for (const auto& entry : prompts) known += (known.empty() ? "" : ", ") + entry.first;
  if (known.empty()) reject("prompt '{}': this model has no prompts; give the prompt's text itself", name);
  reject("prompt '{}': not among this model's prompts ({}); use one of them, or give the text itself", name,
         known);
}

std::vector<Parameter> Embedder::parameters() const {
  const bool latent = folder::uses_latents(pooling);
  std::vector<Parameter> list = decovec::parameters(transformer, latent ? folder::kBackbonePrefix : "");
  const auto append = [&](std::vector<Parameter> more) {
    list.insert(list.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  if (latent) append(decovec::parameters(latents_of(*this), folder::kLatentPrefix));
  append(decovec::parameters(heads));
  return list;
}

int64_t Embedder::dimensions() const {
  return output_columns(heads, transformer.config.hidden_size * static_cast<int64_t>(pooling.size()));
}

at::Tensor similarity(const at::Tensor& a, const at::Tensor& b) {
  return at_boundary("similarity", [&] {
    if (a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(1)) {
      reject("similarity: expected two matrices with equally many columns, got {} and {} dimensions",
             fmt::join(a.sizes(), " x "), fmt::join(b.sizes(), " x "));
    }
    return at::mm(apply({Normalize{}}, a), apply({Normalize{}}, b).t());
  });
}

}  // namespace decovec

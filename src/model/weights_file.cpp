#include "model/weights_file.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>

#include "io/error.hpp"
#include "io/json.hpp"
#include "io/tensor_entry.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

constexpr const char* kEmbedding = "embed_tokens.weight";
constexpr const char* kFirstNorm = "layers.0.input_layernorm.weight";
constexpr const char* kHead = "lm_head.weight";

// The parts of names between dots that stand before a decoder's own.
constexpr std::array<std::string_view, 5> kPrefixParts = {"model", "language_model", "embedding_model",
                                                          "text_model", "base_model"};
// What torch.compile, FSDP and checkpointing wrap around any module.
constexpr std::array<std::string_view, 3> kWrappers = {"_orig_mod", "_fsdp_wrapped_module",
                                                       "_checkpoint_wrapped_module"};
constexpr std::string_view kWholeModelWrapper = "module.";  // of DDP

// Tensors that checkpoints carry and no embedder needs: the language-model head, what multi-modal models do
// with images, and buffers of old versions.
constexpr std::array<std::string_view, 9> kIgnored = {
    ".lm_head.", ".rotary_emb.",   ".position_ids.", ".masked_bias.",          ".score.",
    ".pooler.",  ".vision_tower.", ".vision_model.", ".multi_modal_projector."};

template <size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view part) {
  return std::find(list.begin(), list.end(), part) != list.end();
}

// Calls `use(part)` for the parts of "a.b.c" between its dots.
template <class Use>
void for_each_part(std::string_view name, Use&& use) {
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    use(name.substr(begin, end - begin));
    begin = end + 1;
  }
}

bool ignorable(const std::string& name) {
  const std::string parts = fmt::format(".{}.", name);
  return std::any_of(kIgnored.begin(), kIgnored.end(),
                     [&](std::string_view part) { return parts.find(part) != std::string::npos; });
}

std::string without_wrappers(const std::string& name) {
  std::string_view rest = name;
  if (rest.starts_with(kWholeModelWrapper)) rest.remove_prefix(kWholeModelWrapper.size());
  std::string plain;
  for_each_part(rest, [&](std::string_view part) {
    if (!contains(kWrappers, part)) plain.append(plain.empty() ? "" : ".").append(part);
  });
  return plain;
}

bool is_prefix(std::string_view prefix) {  // "" or "a.b."
  if (prefix.empty()) return true;
  bool known = prefix.back() == '.';
  prefix.remove_suffix(1);
  for_each_part(prefix, [&](std::string_view part) { known &= contains(kPrefixParts, part); });
  return known;
}

// What stands before `name` in the files, each time that it is a decoder's prefix.
std::vector<std::string> prefixes_of(const std::string& name, const TensorFiles& files) {
  std::vector<std::string> prefixes;
  for (const std::string& stored : files.names())
    if (stored.ends_with(name))
      if (const std::string prefix = stored.substr(0, stored.size() - name.size()); is_prefix(prefix))
        prefixes.push_back(prefix);
  return prefixes;
}

std::string find_prefix(const TensorFiles& files) {
  for (const char* anchor : {kEmbedding, kFirstNorm}) {
    const std::vector<std::string> prefixes = prefixes_of(anchor, files);
    if (prefixes.size() == 1) return prefixes[0];
    if (prefixes.size() > 1)
      fail("{}: tensors '{}{}' and '{}{}': two decoders; expected one", files.path().string(), prefixes[0],
           anchor, prefixes[1], anchor);
  }
  fail(
      "{}: no tensor '{}', with or without 'model.' or a known prefix before it; is this a decoder's "
      "checkpoint?",
      files.path().string(), kEmbedding);
}

// Whether config.json leaves head and embedding tied. Configs leave the key out where it is true.
bool ties_embedding(const JsonObject& config) {
  return config.boolean("tie_word_embeddings", true) &&
         (!config.has("text_config") || ties_embedding(config.object("text_config")));
}

}  // namespace

BackboneFiles open_backbone(const std::filesystem::path& folder) {
  const TensorFiles files = TensorFiles::open(folder).renamed(without_wrappers);
  const std::string prefix = find_prefix(files), embedding = prefix + kEmbedding;
  const std::vector<std::string> heads = prefixes_of(kHead, files);
  if (files.contains(embedding) || heads.size() != 1) return {files, prefix};
  const std::string head = heads[0] + kHead;
  if (!ties_embedding(JsonObject::read(folder / folder::kConfig)))
    fail("{}: tensor '{}': missing, and '{}' is another matrix by config.json ('tie_word_embeddings': false)",
         files.path().string(), embedding, head);
  return {files.renamed([&](const std::string& name) { return name == head ? embedding : name; }), prefix};
}

void check_weights(const std::vector<Parameter>& parameters, const TensorFiles& files,
                   const std::string& prefix) {
  constexpr const char* kOther = "is config.json from another checkpoint?";
  const std::string where = files.path().string();
  int64_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    const std::string name = prefix + parameter.name;
    if (!files.contains(name))
      fail("{}: tensor '{}': missing; is the checkpoint complete? {}", where, name, kOther);
    const std::vector<int64_t> expected = parameter.shape(), got = files.shape(name);
    if (expected != got)
      fail("{}: tensor '{}': expected [{}] (config.json), got [{}]; {}", where, name,
           fmt::join(expected, ", "), fmt::join(got, ", "), kOther);
    const std::string dtype = files.dtype(name);
    if (dtype != "F64" && dtype != "F32" && dtype != "BF16" && dtype != "F16")
      fail(
          "{}: tensor '{}': expected F64, F32, BF16 or F16, got {}, which means nothing without scales that "
          "decovec does not read; load the model that is not quantised",
          where, name, dtype);
    bytes += c10::multiply_integers(got) * (find_dtype(dtype)->bits / 8);
  }
  // Tensors of torch.save's files may share their values, so that a small file could ask for any memory.
  if (bytes > files.bytes())
    fail("{}: expected tensors of {} bytes together (config.json), which its {} bytes cannot hold; {}", where,
         bytes, files.bytes(), kOther);
}

std::set<std::string> load_weights(const std::vector<Parameter>& parameters, const TensorFiles& files,
                                   const std::string& prefix) {
  std::set<std::string> loaded;
  for (const Parameter& parameter : parameters) {
    const std::string name = prefix + parameter.name;
    const at::Tensor stored = files.tensor(name), value = parameter.value();
    if (value.scalar_type() == at::kHalf && stored.scalar_type() != at::kHalf) {
      const auto [smallest, largest] = at::aminmax(stored);
      const double most = std::max(-smallest.item<double>(), largest.item<double>());
      if (most > static_cast<double>(std::numeric_limits<at::Half>::max()))
        fail("{}: tensor '{}': {} is too large for float16; load the model as bfloat16 or float32",
             files.path().string(), name, most);
    }
    value.copy_(stored);
    loaded.insert(name);
  }
  return loaded;
}

void refuse_unexpected(const TensorFiles& files, const std::set<std::string>& expected) {
  for (const std::string& name : files.names()) {
    if (!expected.contains(name) && !ignorable(name)) {
      fail(
          "{}: tensor '{}': unexpected: config.json tells of no such weight; is config.json from another "
          "checkpoint?",
          files.path().string(), name);
    }
  }
}

}  // namespace decovec

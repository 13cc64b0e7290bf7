#include "model/adapter_folder.hpp"

#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include "decovec/io/tensor_files.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "model/adapter_config.hpp"
#include "model/adapter_targets.hpp"
#include "model/folder.hpp"
#include "model/low_rank.hpp"
#include "model/sentence_transformers_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBases = 8;
constexpr const char* kSayBase = "give the base model's folder by --base DIR (LoadOptions::base)";
constexpr const char* kPickled = "adapter_model.bin";  // of old versions
constexpr std::array kAdapterParts = {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B",
                                      "lora_magnitude_vector"};

std::string path_list(const std::vector<fs::path>& paths) {
  std::string list;
  for (const fs::path& path : paths) list += (list.empty() ? "" : " on ") + path.string();
  return list;
}

fs::path base_of(const fs::path& folder, const fs::path& given) {
  std::error_code error;
  if (!given.empty()) {
    if (!fs::is_directory(given, error))
      fail("{}: expected the base model's folder (--base, LoadOptions::base), found none", given.string());
    return given;
  }
  const std::string where =
      fmt::format("{}: 'base_model_name_or_path'", (folder / folder::kAdapterConfig).string());
  const std::string name = read_adapter_config(folder).base;
  if (name.empty()) fail("{}: none; {}", where, kSayBase);
  const fs::path beside = folder / name, here = name;  // the same for an absolute path
  const bool is_beside = fs::is_directory(beside, error), is_here = fs::is_directory(here, error);
  if (!is_beside && !is_here) fail("{}: '{}' is no folder here; {}", where, name, kSayBase);
  if (is_beside && is_here && !fs::equivalent(beside, here, error))
    fail("{}: '{}' is a folder both beside the adapter and in the working directory; {}", where, name,
         kSayBase);
  return is_beside ? beside : here;
}

// `above` are the adapters whose base is looked for, the last one's.
ModelParts follow_bases(const fs::path& folder, const fs::path& base, std::vector<fs::path> above) {
  const bool modules = file_exists(folder / folder::kModules);
  const fs::path transformer = modules ? transformer_folder(folder) : folder;
  const ModelParts own = {folder, transformer, transformer, transformer, {}};
  if (!file_exists(transformer / folder::kAdapterConfig)) {
    if (!base.empty())
      reject("--base (LoadOptions::base): {} holds no adapter_config.json, so it needs none",
             folder.string());
    return own;
  }
  const fs::path canonical = fs::canonical(transformer);
  const bool circle = std::find(above.begin(), above.end(), canonical) != above.end();
  above.push_back(canonical);
  if (circle)
    fail("{}: the adapter's base leads back to it ({}); {}", folder.string(), path_list(above), kSayBase);
  if (above.size() > kMostBases)
    fail("{}: more than {} adapters on one another ({})", folder.string(), kMostBases, path_list(above));
  ModelParts parts = own;
  if (!TensorFiles::in_folder(transformer) || !base.empty()) {
    parts = follow_bases(base_of(transformer, base), {}, std::move(above));
    if (modules) parts.settings = own.settings;
    if (file_exists(transformer / folder::kConfig)) parts.config = own.config;
    if (file_exists(transformer / "tokenizer.json") || file_exists(transformer / "tokenizer.model"))
      parts.tokenizer = own.tokenizer;
  }
  parts.adapters.push_back(transformer);
  return parts;
}

// A tensor's name without what depends on who wrote it: "base_model.model." in front, the adapter's name
// ("default"), the wrapper's ("modules_to_save").
std::string plain_name(std::string name) {
  if (name.starts_with(folder::kAdapterPrefix))
    name.erase(0, std::string_view(folder::kAdapterPrefix).size());
  const auto drop = [&](const std::string& part, size_t at) { name.erase(at, part.size()); };
  for (const char* part : kAdapterParts) {
    const std::string named = fmt::format(".{}.default", part);
    if (const size_t at = name.find(named); at != std::string::npos)
      drop(".default", at + named.size() - std::string(".default").size());
  }
  for (const char* wrapper : {".modules_to_save.default", ".modules_to_save"})
    if (const size_t at = name.find(wrapper); at != std::string::npos) drop(wrapper, at);
  constexpr std::string_view kMagnitude = ".lora_magnitude_vector.weight";
  if (name.ends_with(kMagnitude)) name.erase(name.rfind('.'));
  return name;
}

// What an embedder does not compute: a change of it changes no vector.
bool of_no_use(const std::string& name) {
  for (const char* part : {"lm_head.", "score.", "vision_tower.", "multi_modal_projector."})
    if (name.find(part) != std::string::npos) return true;
  return false;
}

// An adapter's file, whose tensors are taken one after the other.
class AdapterFile {
 public:
  explicit AdapterFile(const fs::path& file) : file_(TensorFiles::open(file).renamed(plain_name)) {
    for (const std::string& name : file_.names())
      if (!of_no_use(name)) left_.insert(name);
  }

  std::string where() const { return file_.path().string(); }
  bool has(const std::string& name) const { return left_.contains(name); }

  // What stands before "layers." and "embed_tokens." in the names.
  std::string path_prefix() const {
    std::optional<std::string> prefix;
    for (const std::string& name : left_) {
      const std::string dotted = "." + name;
      size_t begin = std::string::npos;
      for (const char* first : {".layers.", ".embed_tokens.", ".norm."})
        begin = std::min(begin, dotted.find(first));
      if (begin == std::string::npos) refuse(name);
      if (prefix && *prefix != name.substr(0, begin)) refuse(name);
      prefix = name.substr(0, begin);
    }
    if (!prefix) fail("{}: expected tensors of an adapter, found none", where());
    return *prefix;
  }

  at::Tensor take(const std::string& name, const std::vector<int64_t>& shape) {
    if (left_.erase(name) == 0)
      fail("{}: tensor '{}': missing; adapter_config.json tells of it", where(), name);
    const std::vector<int64_t> got = file_.shape(name);
    if (got != shape)
      fail("{}: tensor '{}': expected [{}] (adapter_config.json and the base model), got [{}]", where(), name,
           fmt::join(shape, ", "), fmt::join(got, ", "));
    const at::Tensor tensor = file_.tensor(name);
    if (!tensor.is_floating_point())
      fail("{}: tensor '{}': expected floating-point numbers, got {}", where(), name,
           c10::toString(tensor.scalar_type()));
    // Tensors of torch.save's files may share their values, so that a small file could ask for any memory.
    taken_ += static_cast<int64_t>(tensor.nbytes());
    if (taken_ > file_.bytes())
      fail("{}: tensor '{}': its {} bytes cannot hold all values", where(), name, file_.bytes());
    if (!at::isfinite(tensor).all().item<bool>())
      fail("{}: tensor '{}': holds numbers that are not finite; is the adapter's training at fault?", where(),
           name);
    return tensor;
  }

  void refuse_rest() const {
    if (!left_.empty()) refuse(*left_.begin());
  }

 private:
  [[noreturn]] void refuse(const std::string& name) const {
    fail("{}: tensor '{}': unexpected: adapter_config.json and the base model tell of no such weight",
         where(), name);
  }

  TensorFiles file_;
  std::set<std::string> left_;
  int64_t taken_ = 0;  // bytes
};

Adapter load_adapter(const fs::path& folder, Transformer& transformer) {
  Adapter adapter{.folder = plain_path(folder), .config = read_adapter_config(folder), .merged = false};
  refuse_other_family(folder, transformer.config.family);
  const std::vector<Parameter> base = parameters(transformer);
  const bool pickled = !file_exists(folder / folder::kAdapterWeights) && file_exists(folder / kPickled);
  AdapterFile file(folder / (pickled ? kPickled : folder::kAdapterWeights));
  adapter.path_prefix = file.path_prefix();

  const auto options =
      transformer.embedding.options().dtype(adapter_dtype(transformer.embedding.scalar_type()));
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape) {
    return file.take(adapter.path_prefix + name, shape).to(options, /*non_blocking=*/false, /*copy=*/true);
  };
  std::set<std::string> targeted;
  for (const AdapterTarget& target : find_targets(transformer, adapter.config, adapter.path_prefix,
                                                  (folder / folder::kAdapterConfig).string())) {
    const bool embedding = target.linear == nullptr;
    LowRank change{.row = target.row, .scale = target.scale};
    change.a =
        take(target.module + (embedding ? ".lora_embedding_A" : ".lora_A.weight"), {target.rank, target.in});
    change.b = take(target.module + (embedding ? ".lora_embedding_B" : ".lora_B.weight"),
                    {target.rows, target.rank});
    if (adapter.config.dora) change.magnitude = take(target.module + ".lora_magnitude_vector", {target.rows});
    if (embedding) {
      transformer.embedding_adapter = change;
    } else {
      target.linear->adapters.push_back(change);
    }
    targeted.insert(target.module);
  }

  std::vector<std::pair<Parameter, at::Tensor>> replaced;
  for (const Parameter& parameter : base) {
    const bool of_target = targeted.contains(parameter.name.substr(0, parameter.name.rfind('.')));
    const std::string path = adapter.path_prefix + parameter.name;
    const std::string stored = of_target ? folder::base_layer(path) : path;
    // PEFT stores the embedding where it is a target, or has rows that its base had not.
    const bool may_be_stored = parameter.holder.is_same(transformer.embedding);
    if (replaces(adapter.config, path, of_target) || (may_be_stored && file.has(stored))) {
      replaced.emplace_back(parameter, file.take(stored, parameter.shape()));
      adapter.replaced.push_back(parameter.name);
    }
  }
  file.refuse_rest();
  for (const auto& [parameter, value] : replaced) parameter.value().copy_(value);
  return adapter;
}

}  // namespace

fs::path plain_path(const fs::path& folder) {
  return fs::absolute(folder / "").lexically_normal().parent_path();
}

bool replaces(const AdapterConfig& config, const std::string& path, bool targeted) {
  if (is_saved_whole(config, path)) return true;
  return path.ends_with(".bias") &&
         (config.bias == AdapterBias::all || (config.bias == AdapterBias::lora_only && targeted));
}

ModelParts find_parts(const fs::path& folder, const fs::path& base, const std::vector<fs::path>& adapters) {
  ModelParts parts = follow_bases(folder, base, {});
  std::error_code error;
  for (const fs::path& adapter : adapters) {
    for (const fs::path& other : parts.adapters)
      if (fs::equivalent(adapter, other, error))
        reject("--adapter (LoadOptions::adapters): {} is applied already; name each adapter once",
               adapter.string());
    parts.adapters.push_back(adapter);
  }
  return parts;
}

void load_adapters(Embedder& model, const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    model.merge_adapters();
    if (!file_exists(folder / folder::kAdapterConfig))
      fail("{}: expected an adapter folder with {}, found none", folder.string(), folder::kAdapterConfig);
    model.adapters.push_back(load_adapter(folder, model.transformer));
    model.adapters.back().config.base = model.base;
  }
}

const Adapter* unmerged_adapter(const Embedder& model) {
  return model.adapters.empty() || model.adapters.back().merged ? nullptr : &model.adapters.back();
}

void Embedder::merge_adapters() {
  at_boundary("Embedder::merge_adapters", [&] {
    decovec::merge_adapters(transformer);
    for (Adapter& adapter : adapters) adapter.merged = true;
  });
}

}  // namespace decovec

#include "io/safetensors_write.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <ATen/ATen.h>

#include "decovec/io/lines.hpp"
#include "decovec/io/safetensors.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "io/safetensors_header.hpp"

namespace decovec {
namespace fs = std::filesystem;
namespace {

using Tensors = std::vector<const NamedTensor*>;

int64_t data_bytes(const NamedTensor& named) { return named.tensor.numel() * named.tensor.element_size(); }

// The tensors by name, once it is sure that each can be written.
Tensors sorted_and_checked(const std::vector<NamedTensor>& tensors) {
  Tensors sorted;
  for (const NamedTensor& named : tensors) {
    const std::string name = shown(named.name);
    if (!is_utf8(named.name)) reject("tensor {}: the name is not UTF-8", name);
    if (named.name == "__metadata__") reject("tensor {}: the format keeps this name for itself", name);
    if (!named.tensor.defined()) reject("tensor {}: undefined", name);
    if (named.tensor.layout() != at::kStrided) reject("tensor {}: expected a dense tensor", name);
    if (find_dtype(named.tensor.scalar_type()) == nullptr)
      reject("tensor {}: dtype {} is not supported, expected one of {}", name,
             c10::toString(named.tensor.scalar_type()), supported_dtypes());
    sorted.push_back(&named);
  }
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name < b->name; });
  const auto twice =
      std::adjacent_find(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name == b->name; });
  if (twice != sorted.end()) reject("tensor {}: given twice", shown((*twice)->name));
  return sorted;
}

std::string header_text(const Tensors& tensors, const std::map<std::string, std::string>& metadata,
                        const fs::path& file) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t at = 0;
  for (const NamedTensor* named : tensors) {
    const int64_t end = at + data_bytes(*named);
    header[named->name] = {{"dtype", find_dtype(named->tensor.scalar_type())->name},
                           {"shape", named->tensor.sizes().vec()},
                           {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const OrderedJson::exception&) {
    reject("{}: the metadata is not UTF-8", file.string());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (static_cast<int64_t>(text.size()) > kMaxSafetensorsHeaderBytes)
    fail("{}: the header takes {} bytes, the format allows {}", file.string(), text.size(),
         kMaxSafetensorsHeaderBytes);
  return text;
}

// Consecutive tensors, by name, in runs of at most `max_bytes`; a larger tensor is a run of its own.
std::vector<Tensors> split(const Tensors& sorted, int64_t max_bytes) {
  std::vector<Tensors> runs(1);
  int64_t held = 0;
  for (const NamedTensor* named : sorted) {
    const int64_t bytes = data_bytes(*named);
    if (!runs.back().empty() && bytes > max_bytes - held) {
      runs.emplace_back();
      held = 0;
    }
    runs.back().push_back(named);
    held += bytes;
  }
  return runs;
}

void write_shards(const fs::path& folder, const std::vector<Tensors>& shards,
                  const std::map<std::string, std::string>& metadata) {
  OrderedJson weight_map = OrderedJson::object();
  int64_t total = 0;
  std::vector<std::unique_ptr<SafetensorsWriter>> staged;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    std::vector<NamedTensor> tensors;
    for (const NamedTensor* named : shards[i]) tensors.push_back(*named);
    staged.push_back(std::make_unique<SafetensorsWriter>(folder / name, tensors, metadata));
    for (const NamedTensor* named : shards[i]) {
      staged.back()->write(*named);
      weight_map[named->name] = name;
      total += data_bytes(*named);
    }
  }
  for (const auto& file : staged) file->commit();
  OrderedJson index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  for (const auto& [key, value] : metadata) index["metadata"].emplace(key, value);
  write_json(folder / "model.safetensors.index.json",
             index);  // last: until it stands, the folder holds no model
}

}  // namespace

// The format's own writer gives the same bytes.
SafetensorsWriter::SafetensorsWriter(const fs::path& file, const std::vector<NamedTensor>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : staged_(file) {
  Tensors sorted = sorted_and_checked(tensors);
  std::stable_sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) {
    return find_dtype(a->tensor.scalar_type()) < find_dtype(b->tensor.scalar_type());
  });
  const std::string header = header_text(sorted, metadata, file);
  const uint64_t header_size = header.size();
  char size_bytes[8];
  std::memcpy(size_bytes, &header_size, 8);
  staged_.write({size_bytes, 8});
  staged_.write(header);
  auto place = static_cast<int64_t>(8 + header.size());
  for (const NamedTensor* named : sorted) {
    places_[named->name] = place;
    place += data_bytes(*named);
  }
}

void SafetensorsWriter::write(const NamedTensor& named) {
  const at::Tensor tensor = named.tensor.detach().to(at::kCPU).resolve_neg().contiguous();
  staged_.write_at(places_.at(named.name),
                   {static_cast<const char*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())});
}

void write_safetensors(const fs::path& file, const std::vector<NamedTensor>& tensors,
                       const SafetensorsWriteOptions& options) {
  at_boundary("write_safetensors", [&] {
    SafetensorsWriter writer(file, tensors, options.metadata);
    for (const NamedTensor& named : tensors) writer.write(named);
    writer.commit();
  });
}

void write_safetensors_folder(const fs::path& folder, const std::vector<NamedTensor>& tensors,
                              const SafetensorsWriteOptions& options) {
  at_boundary("write_safetensors_folder", [&] {
    if (options.max_shard_bytes <= 0)
      reject("write_safetensors_folder: max_shard_bytes: expected a positive number, got {}",
             options.max_shard_bytes);
    for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
      if (fs::exists(folder / name))
        fail("{}: already exists; write to a new folder", (folder / name).string());
    const std::vector<Tensors> shards = split(sorted_and_checked(tensors), options.max_shard_bytes);
    if (shards.size() > 1) {
      write_shards(folder, shards, options.metadata);
    } else {
      write_safetensors(folder / "model.safetensors", tensors, options);
    }
  });
}

}  // namespace decovec

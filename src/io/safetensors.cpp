#include "decovec/io/safetensors.hpp"

#include <cstring>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/safetensors_header.hpp"

namespace decovec {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFileName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

struct Shard {
  fs::path path;
  std::shared_ptr<const MappedFile> file;
  SafetensorsHeader header;
};

Shard open_shard(const fs::path& path) {
  std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  SafetensorsHeader header = parse_safetensors_header(file->bytes(), path.string());
  return {path, std::move(file), std::move(header)};
}

// The file that stands for a folder.
fs::path find_in_folder(const fs::path& folder) {
  for (const char* name : {kFileName, kIndexName})
    if (fs::exists(folder / name)) return folder / name;
  const bool pickled =
      fs::exists(folder / "pytorch_model.bin") || fs::exists(folder / "pytorch_model.bin.index.json");
  fail("{}: expected {} or {} in the folder{}", folder.string(), kFileName, kIndexName,
       pickled ? "; it holds pytorch_model.bin, convert that to safetensors" : "");
}

at::Tensor tensor_in(const Shard& shard, const std::string& name, const SafetensorsEntry& entry) {
  const SafetensorsDtype& dtype = *entry.dtype;
  if (!dtype.scalar_type)
    fail("{}: {}: dtype {} is not supported, expected one of {}", shard.path.string(), shown(name),
         dtype.name, supported_safetensors_dtypes());
  if (entry.begin == entry.end) return at::empty(entry.shape, *dtype.scalar_type);
  shard.file->check_not_shrunk();
  auto* const data = const_cast<char*>(shard.file->bytes().data()) + entry.begin;
  const auto view = [&](c10::ScalarType type) {
    return at::from_blob(
        data, entry.shape, [file = shard.file](void*) {}, at::TensorOptions(type));
  };
  // A bool that is neither 0 nor 1 is undefined behaviour, so bools are converted.
  if (*dtype.scalar_type == at::kBool) return view(at::kByte).ne(0);
  const auto alignment = static_cast<uintptr_t>(dtype.bits / 8);
  if (reinterpret_cast<uintptr_t>(data) % alignment == 0) return view(*dtype.scalar_type);
  at::Tensor copy = at::empty(entry.shape, *dtype.scalar_type);
  std::memcpy(copy.data_ptr(), data, static_cast<size_t>(entry.end - entry.begin));
  return copy;
}

}  // namespace

struct Safetensors::Contents {
  fs::path path;
  std::vector<Shard> shards;
  struct Place {
    const Shard* shard;
    const SafetensorsEntry* entry;
  };
  std::map<std::string, Place> places;
  std::map<std::string, std::string> metadata;

  void open_file() {
    const Shard& shard = shards.emplace_back(open_shard(path));
    for (const auto& [name, entry] : shard.header.entries) places.emplace(name, Place{&shard, &entry});
    metadata = shard.header.metadata;
  }

  void open_index() {
    const JsonObject index = JsonObject::read(path);
    std::map<std::string, std::vector<std::string>> names_of;  // shard → the tensors the index says it holds
    const JsonObject weight_map = index.object("weight_map");
    for (const auto& [name, file] : weight_map.raw().items()) {
      const std::string value = file.is_string() ? file.get<std::string>() : "";
      if (value.empty() || value == "." || value == ".." ||
          value.find_first_of(std::string("/\0", 2)) != value.npos)
        fail("{}: 'weight_map': {}: expected the name of a file in the same folder, got {}", path.string(),
             shown(name), shown(file));
      names_of[value].push_back(name);
    }
    shards.reserve(names_of.size());  // places point into it
    for (const auto& [file, names] : names_of) {
      const fs::path shard_path = path.parent_path() / file;
      if (!fs::exists(shard_path))
        fail("{}: the shard {} is missing; {} of its tensors are wanted", path.string(), shown(file),
             names.size());
      const Shard& shard = shards.emplace_back(open_shard(shard_path));
      for (const std::string& name : names) {
        const auto entry = shard.header.entries.find(name);
        if (entry == shard.header.entries.end())
          fail("{}: no tensor {}, which {} places in it", shard_path.string(), shown(name),
               path.filename().string());
        places.emplace(name, Place{&shard, &entry->second});
      }
    }
    if (!index.has("metadata")) return;
    const JsonObject index_metadata = index.object("metadata");
    for (const auto& [key, value] : index_metadata.raw().items())
      if (value.is_string()) metadata.emplace(key, value.get<std::string>());
  }

  const Place& at(const std::string& name) const {
    const auto place = places.find(name);
    if (place == places.end()) fail("{}: no tensor {}", path.string(), shown(name));
    return place->second;
  }
};

Safetensors Safetensors::open(const fs::path& path) {
  return at_boundary("Safetensors::open", [&] {
    auto contents = std::make_shared<Contents>();
    contents->path = fs::is_directory(path) ? find_in_folder(path) : path;
    contents->shards.reserve(1);
    if (contents->path.extension() == ".json") {
      contents->open_index();
    } else {
      contents->open_file();
    }
    Safetensors result;
    result.contents_ = std::move(contents);
    return result;
  });
}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : contents_->places) names.push_back(name);
  return names;
}

bool Safetensors::contains(const std::string& name) const { return contents_->places.contains(name); }

std::vector<int64_t> Safetensors::shape(const std::string& name) const {
  return contents_->at(name).entry->shape;
}

at::Tensor Safetensors::tensor(const std::string& name) const {
  return at_boundary("Safetensors::tensor", [&] {
    const Contents::Place& place = contents_->at(name);
    return tensor_in(*place.shard, name, *place.entry);
  });
}

const std::map<std::string, std::string>& Safetensors::metadata() const { return contents_->metadata; }

const fs::path& Safetensors::path() const { return contents_->path; }

}  // namespace decovec

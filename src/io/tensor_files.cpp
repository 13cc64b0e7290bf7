#include "decovec/io/tensor_files.hpp"

#include <array>
#include <cstring>
#include <fmt/ranges.h>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/safetensors_header.hpp"
#include "io/torch_file.hpp"

namespace decovec {
namespace fs = std::filesystem;
namespace {

// The names of a folder's weights, best first, as transformers prefers them.
constexpr std::array kFolderNames = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                     "pytorch_model.bin.index.json"};

struct Shard {
  fs::path path;
  std::shared_ptr<const MappedFile> file;
  SafetensorsHeader header;
};

Shard open_shard(const fs::path& path) {
  Shard shard{.path = path, .file = MappedFile::open(path), .header = {}};
  const std::string_view bytes = shard.file->bytes();
  if (bytes.starts_with("version https://git-lfs.github.com/spec/"))
    fail("{}: a pointer of Git LFS in place of the file; fetch the file itself (git lfs pull)",
         path.string());
  const fs::path kind = path.extension();
  if (kind == ".bin" || kind == ".pt" || kind == ".pth") {
    shard.header.entries = parse_torch_file(bytes, path.string());
  } else {
    shard.header = parse_safetensors_header(bytes, path.string());
  }
  return shard;
}

// The file that stands for a folder; empty where there is none.
fs::path find_in_folder(const fs::path& folder) {
  for (const char* name : kFolderNames)
    if (file_exists(folder / name)) return folder / name;
  return {};
}

at::Tensor tensor_in(const Shard& shard, const std::string& name, const TensorEntry& entry) {
  const TensorDtype& dtype = *entry.dtype;
  if (!dtype.scalar_type)
    fail("{}: {}: dtype {} is not supported, expected one of {}", shard.path.string(), shown(name),
         dtype.name, supported_dtypes());
  if (entry.begin == entry.end) return at::empty(entry.shape, *dtype.scalar_type);
  shard.file->check_not_shrunk();
  auto* const data = const_cast<char*>(shard.file->bytes().data()) + entry.begin;
  const bool row_major = entry.strides.empty();
  // The elements from the first to the last, as they lie in the file.
  const int64_t elements = (entry.end - entry.begin) / (dtype.bits / 8);
  const auto view = [&](c10::ScalarType type) {
    return at::from_blob(
        data, {elements}, [file = shard.file](void*) {}, at::TensorOptions(type));
  };
  const auto shaped = [&](const at::Tensor& flat) {
    return row_major ? flat.view(entry.shape) : flat.as_strided(entry.shape, entry.strides);
  };
  // A bool that is neither 0 nor 1 is undefined behaviour, so bools are converted.
  if (*dtype.scalar_type == at::kBool) return shaped(view(at::kByte).ne(0));
  const auto alignment = static_cast<uintptr_t>(dtype.bits / 8);
  if (reinterpret_cast<uintptr_t>(data) % alignment == 0) return shaped(view(*dtype.scalar_type));
  const at::Tensor copy = at::empty({elements}, *dtype.scalar_type);
  std::memcpy(copy.data_ptr(), data, static_cast<size_t>(entry.end - entry.begin));
  return shaped(copy);
}

}  // namespace

struct TensorFiles::Contents {
  fs::path path;
  struct Place {
    std::shared_ptr<const Shard> shard;
    const TensorEntry* entry;
  };
  std::map<std::string, Place> places;
  std::map<std::string, std::string> metadata;
  int64_t bytes = 0;

  std::shared_ptr<const Shard> open(const fs::path& file) {
    auto shard = std::make_shared<const Shard>(open_shard(file));
    bytes += static_cast<int64_t>(shard->file->bytes().size());
    return shard;
  }

  void open_file() {
    const std::shared_ptr<const Shard> shard = open(path);
    for (const auto& [name, entry] : shard->header.entries) places.emplace(name, Place{shard, &entry});
    metadata = shard->header.metadata;
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
    for (const auto& [file, names] : names_of) {
      const fs::path shard_path = path.parent_path() / file;
      if (!file_exists(shard_path))
        fail("{}: the shard {} is missing; {} of its tensors are wanted", path.string(), shown(file),
             names.size());
      const std::shared_ptr<const Shard> shard = open(shard_path);
      for (const std::string& name : names) {
        const auto entry = shard->header.entries.find(name);
        if (entry == shard->header.entries.end())
          fail("{}: no tensor {}, which {} places in it", shard_path.string(), shown(name),
               path.filename().string());
        places.emplace(name, Place{shard, &entry->second});
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

TensorFiles TensorFiles::open(const fs::path& path) {
  return at_boundary("TensorFiles::open", [&] {
    auto contents = std::make_shared<Contents>();
    contents->path = fs::is_directory(path) ? find_in_folder(path) : path;
    if (contents->path.empty())
      fail("{}: no weights; looked for {}", path.string(), fmt::join(kFolderNames, ", "));
    if (contents->path.extension() == ".json") {
      contents->open_index();
    } else {
      contents->open_file();
    }
    TensorFiles result;
    result.contents_ = std::move(contents);
    return result;
  });
}

bool TensorFiles::in_folder(const fs::path& folder) { return !find_in_folder(folder).empty(); }

std::vector<std::string> TensorFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : contents_->places) names.push_back(name);
  return names;
}

bool TensorFiles::contains(const std::string& name) const { return contents_->places.contains(name); }

std::vector<int64_t> TensorFiles::shape(const std::string& name) const {
  return contents_->at(name).entry->shape;
}

std::string TensorFiles::dtype(const std::string& name) const {
  return std::string(contents_->at(name).entry->dtype->name);
}

at::Tensor TensorFiles::tensor(const std::string& name) const {
  return at_boundary("TensorFiles::tensor", [&] {
    const Contents::Place& place = contents_->at(name);
    return tensor_in(*place.shard, name, *place.entry);
  });
}

const std::map<std::string, std::string>& TensorFiles::metadata() const { return contents_->metadata; }

const fs::path& TensorFiles::path() const { return contents_->path; }

int64_t TensorFiles::bytes() const { return contents_->bytes; }

TensorFiles TensorFiles::renamed(const std::function<std::string(const std::string&)>& new_name) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->places.clear();
  for (const auto& [name, place] : contents_->places) {
    const std::string given = new_name(name);
    if (!contents->places.emplace(given, place).second)
      fail("{}: {} and another tensor both stand for {}", path().string(), shown(name), shown(given));
  }
  TensorFiles result;
  result.contents_ = std::move(contents);
  return result;
}

}  // namespace decovec

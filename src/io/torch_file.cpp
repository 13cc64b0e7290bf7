#include "io/torch_file.hpp"

#include <algorithm>
#include <array>
#include <fmt/ranges.h>
#include <map>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/json.hpp"
#include "io/pickle.hpp"
#include "io/zip_directory.hpp"

namespace decovec {
namespace {

// How every file of the format before torch 1.6 begins: a pickled number.
constexpr std::string_view kLegacyStart("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
constexpr std::string_view kPickle = "/data.pkl";

constexpr std::string_view kTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";

// The classes of storages that plain tensors have.
constexpr std::array kStorages = {
    std::pair{std::string_view("torch.DoubleStorage"), at::kDouble},
    std::pair{std::string_view("torch.FloatStorage"), at::kFloat},
    std::pair{std::string_view("torch.HalfStorage"), at::kHalf},
    std::pair{std::string_view("torch.BFloat16Storage"), at::kBFloat16},
    std::pair{std::string_view("torch.LongStorage"), at::kLong},
    std::pair{std::string_view("torch.IntStorage"), at::kInt},
    std::pair{std::string_view("torch.ShortStorage"), at::kShort},
    std::pair{std::string_view("torch.CharStorage"), at::kChar},
    std::pair{std::string_view("torch.ByteStorage"), at::kByte},
    std::pair{std::string_view("torch.BoolStorage"), at::kBool},
};

std::vector<std::string_view> allowed_names() {
  std::vector<std::string_view> names = {"collections.OrderedDict", kTensor, kParameter};
  for (const auto& [name, type] : kStorages) names.push_back(name);
  return names;
}

struct Storage {
  const TensorDtype* dtype;
  int64_t begin, elements;
};

// The entries of bytes by their keys; the names lie in the directory.
using Storages = std::map<std::string_view, ZipRecord>;

Storages storages_of(const ZipRecords& records, const std::string& root) {
  const std::string folder = root + "/data/";
  Storages storages;
  for (auto record = records.lower_bound(folder); record != records.end(); ++record) {
    if (!record->first.starts_with(folder)) break;
    storages.emplace(std::string_view(record->first).substr(folder.size()), record->second);
  }
  return storages;
}

// One tensor that a pickle's values describe, which `where` names.
class TensorReader {
 public:
  TensorReader(const Storages& storages, std::string where) : storages_(storages), where_(std::move(where)) {}

  TensorEntry tensor(const PickleValue& value) const {
    if (std::holds_alternative<PickleDict*>(value))
      fail(
          "{}: expected a tensor, got a dictionary; if the weights lie in it, save it alone "
          "(torch.save(checkpoint[\"state_dict\"], file))",
          where_);
    const auto* call = as<const PickleCall*>(value, "a tensor");
    if (call->function == kParameter) call = as<const PickleCall*>(arguments(*call, 3)[0], "a tensor");
    if (call->function != kTensor) fail("{}: expected a tensor, got a call of {}", where_, call->function);
    const std::vector<PickleValue>& items = arguments(*call, 6);  // the last two: requires_grad, hooks
    return view(storage(items[0]), as<int64_t>(items[1], "an offset"), naturals(items[2]),
                naturals(items[3]));
  }

 private:
  template <class Type>
  Type as(const PickleValue& value, std::string_view expected) const {
    if (const Type* found = std::get_if<Type>(&value)) return *found;
    fail("{}: expected {}, got {}", where_, expected, kind_of(value));
  }

  const std::vector<PickleValue>& arguments(const PickleCall& call, size_t count) const {
    if (call.arguments->items.size() != count)
      fail("{}: {}: expected {} arguments, got {}; such tensors are not supported", where_, call.function,
           count, call.arguments->items.size());
    return call.arguments->items;
  }

  // ('storage', class, key, device, elements)
  Storage storage(const PickleValue& value) const {
    const auto& items =
        as<const PickleTuple*>(as<const PickleReference*>(value, "a storage")->what, "a storage")->items;
    if (items.size() != 5 || as<std::string_view>(items[0], "a storage") != "storage")
      fail("{}: expected a storage", where_);
    const std::string_view name = as<PickleName>(items[1], "a storage's class").name;
    const auto* const type = std::find_if(kStorages.begin(), kStorages.end(),
                                          [&](const auto& known) { return known.first == name; });
    if (type == kStorages.end()) fail("{}: expected a storage's class, got {}", where_, name);
    const auto key = as<std::string_view>(items[2], "a storage's key");
    const auto record = storages_.find(key);
    if (record == storages_.end())
      fail("{}: its storage {} is not in the file", where_, shown(Json(std::string(key))));
    const auto elements = as<int64_t>(items[4], "a number of elements");
    const TensorDtype* dtype = find_dtype(type->second);
    if (elements < 0 || elements > record->second.size / (dtype->bits / 8))
      fail("{}: its storage of {} elements of {} has only {} bytes", where_, elements, dtype->name,
           record->second.size);
    return {dtype, record->second.begin, elements};
  }

  std::vector<int64_t> naturals(const PickleValue& value) const {
    const auto& items = as<const PickleTuple*>(value, "a tuple of sizes")->items;
    if (items.size() > kMaxDimensions)
      fail("{}: expected at most {} dimensions, got {}", where_, kMaxDimensions, items.size());
    std::vector<int64_t> numbers;
    for (const PickleValue& item : items) {
      numbers.push_back(as<int64_t>(item, "an integer"));
      if (numbers.back() < 0)
        fail("{}: expected sizes and strides of 0 or more, got {}", where_, numbers.back());
    }
    return numbers;
  }

  TensorEntry view(const Storage& storage, int64_t offset, std::vector<int64_t> shape,
                   std::vector<int64_t> strides) const {
    if (shape.size() != strides.size())
      fail("{}: expected as many strides as sizes, got {} and {}", where_, strides.size(), shape.size());
    int64_t count = 1, last = offset;  // elements, and the last one's place
    bool overflow = false, empty = false;
    for (size_t i = 0; i < shape.size(); ++i) {
      const int64_t size = std::max<int64_t>(shape[i], 1);
      int64_t step = 0;
      empty |= shape[i] == 0;
      overflow |= __builtin_mul_overflow(count, size, &count);
      overflow |= __builtin_mul_overflow(size - 1, strides[i], &step);
      overflow |= __builtin_add_overflow(last, step, &last);
    }
    // More elements than the storage has would be the same ones again: a small file would fill any memory.
    const bool inside =
        empty ? offset <= storage.elements : last < storage.elements && count <= storage.elements;
    if (offset < 0 || overflow || !inside)
      fail("{}: sizes [{}] with strides [{}] from element {} leave its storage of {}", where_,
           fmt::join(shape, ", "), fmt::join(strides, ", "), offset, storage.elements);
    const int64_t width = storage.dtype->bits / 8, begin = storage.begin + offset * width;
    return {.dtype = storage.dtype,
            .shape = std::move(shape),
            .begin = begin,
            .end = empty ? begin : storage.begin + (last + 1) * width,
            .strides = std::move(strides)};
  }

  const Storages& storages_;
  std::string where_;
};

// The folder that all of a file's entries lie in; torch names it after the file.
std::string root_of(const ZipRecords& records, const std::string& where) {
  std::vector<std::string> roots;
  for (const auto& [name, record] : records)
    if (name.ends_with(kPickle)) roots.push_back(name.substr(0, name.size() - kPickle.size()));
  if (roots.size() != 1)
    fail("{}: expected one entry data.pkl, as torch.save writes it, got {}", where, roots.size());
  return roots[0];
}

}  // namespace

TensorEntries parse_torch_file(std::string_view file, const std::string& where) {
  if (file.starts_with(kLegacyStart))
    fail(
        "{}: the format of torch.save before torch 1.6 is not supported; load and save it again with a newer "
        "torch, or as safetensors",
        where);
  if (!file.starts_with("PK"))
    fail("{}: expected a zip file, as torch.save writes it; is it a file of weights?", where);
  const ZipRecords records = read_zip_directory(file, where);
  const auto bytes = [&](const ZipRecord& record) {
    return file.substr(static_cast<size_t>(record.begin), static_cast<size_t>(record.size));
  };
  const std::string root = root_of(records, where);
  if (const auto order = records.find(root + "/byteorder"); order != records.end())
    if (bytes(order->second) != "little")
      fail("{}: its numbers are not little-endian; load and save it again on this machine", where);

  const std::string pickle_name = where + ": data.pkl";
  const std::vector<std::string_view> names = allowed_names();
  const Pickle pickle = read_pickle(bytes(records.at(root + std::string(kPickle))), names, pickle_name);
  PickleDict* const* dict = std::get_if<PickleDict*>(&pickle.root);
  if (dict == nullptr)
    fail("{}: expected a dictionary of names to tensors, got {}", pickle_name, kind_of(pickle.root));
  const Storages storages = storages_of(records, root);
  TensorEntries tensors;
  for (const auto& [key, value] : (*dict)->items) {
    const auto* const name = std::get_if<std::string_view>(&key);
    if (name == nullptr) fail("{}: expected a text as a tensor's name, got {}", pickle_name, kind_of(key));
    const std::string place = fmt::format("{}: {}", pickle_name, shown(Json(std::string(*name))));
    if (!tensors.emplace(*name, TensorReader(storages, place).tensor(value)).second)
      fail("{}: the name appears twice", place);
  }
  return tensors;
}

}  // namespace decovec

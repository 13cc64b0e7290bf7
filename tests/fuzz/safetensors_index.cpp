// The index of sharded weights, beside one good shard.
#include "decovec/io/tensor_files.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  // One shard with one tensor: "a", a float.
  static const auto shard =
      folder.put("a.safetensors", std::string("\x3a\0\0\0\0\0\0\0", 8) +
                                      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    )" +
                                      std::string(4, '\0'));
  const auto index = folder.put("model.safetensors.index.json", fuzz::text_of(data, size));
  return fuzz::check({"safetensors"}, [&] {
    const auto tensors = TensorFiles::open(index);
    for (const std::string& name : tensors.names()) tensors.tensor(name);
  });
}

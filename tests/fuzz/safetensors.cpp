// A safetensors file, its header and its tensors.
#include "decovec/io/tensor_files.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  const auto file = folder.put("model.safetensors", fuzz::text_of(data, size));
  return fuzz::check({"model.safetensors"}, [&] {
    const auto tensors = TensorFiles::open(file);
    for (const std::string& name : tensors.names()) tensors.tensor(name);
  });
}

// A file of torch.save, its zip directory and its tensors.
#include "decovec/io/tensor_files.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  const auto file = folder.put("pytorch_model.bin", fuzz::text_of(data, size));
  return fuzz::check({"pytorch_model.bin"}, [&] {
    const auto tensors = TensorFiles::open(file);
    for (const std::string& name : tensors.names()) tensors.tensor(name);
  });
}

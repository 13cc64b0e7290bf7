// A NumPy file.
#include "decovec/io/npy.hpp"

#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  const auto file = folder.put("x.npy", fuzz::text_of(data, size));
  return fuzz::check({"x.npy"}, [&] { read_npy(file); });
}

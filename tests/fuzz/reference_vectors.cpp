// The reference vectors of decovec verify.
#include "eval/reference_vectors.hpp"

#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  const auto file = folder.put("decovec_reference.json", fuzz::text_of(data, size));
  return fuzz::check({"decovec_reference.json"}, [&] { read_reference_vectors(file); });
}

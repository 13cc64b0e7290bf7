// The pickle of a file of torch.save, in a sound zip file with two storages.
#include "fuzz/fuzz.hpp"
#include "io/torch_file.hpp"
#include "io/zip_file.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  const std::string file = test::zip({{"a/data.pkl", std::string(fuzz::text_of(data, size))},
                                      {"a/data/0", std::string(96, '\1')},
                                      {"a/data/1", std::string(8, '\2')}});
  return fuzz::check({"pytorch_model.bin"}, [&] {
    for (const auto& [name, entry] : parse_torch_file(file, "pytorch_model.bin"))
      if (entry.begin < 0 || entry.end < entry.begin || entry.end > static_cast<int64_t>(file.size()))
        std::abort();
  });
}

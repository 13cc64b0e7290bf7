// A decoder's config.json.
#include "fuzz/fuzz.hpp"
#include "io/json.hpp"
#include "model/config_file.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  return fuzz::check({"config.json"}, [&] {
    const JsonObject config(parse_json(fuzz::text_of(data, size), "config.json"), "config.json");
    for (const auto given : {std::optional<Attention>(), std::optional(Attention::bidirectional)})
      read_model_config(config, given);
  });
}
